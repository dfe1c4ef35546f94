"""The mark “default” of versions and domains: who gets it takes it from the one that had it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from instances.admin.badges import badge
from instances.admin.base import ModelAdmin, ModelForm


class DefaultForm(ModelForm[Any]):
    """Does not ask the constraint “only one default”: saving keeps it."""

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "default"}  # type: ignore[misc]


class OneDefault(ModelAdmin[Any]):
    """For a ModelAdmin with a :class:`DefaultForm`."""

    @admin.display(description=_("default"), ordering="default")
    def default_mark(self, row: Any) -> str:
        return badge(gettext("default"), "info") if row.default else ""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            if obj.default:
                # Saved, not updated, so that the log says who took the mark from it.
                for other in self.model._default_manager.filter(default=True).exclude(pk=obj.pk):
                    other.default = False
                    other.save(update_fields=["default"])
            super().save_model(request, obj, form, change)
