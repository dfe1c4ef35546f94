"""Locks: actions that nobody may ask for on an instance, each with its reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from instances.admin.base import ModelAdmin
from instances.models import ActionLock


@admin.register(ActionLock)
class LockAdmin(ModelAdmin[ActionLock]):
    list_display = ("instance", "action", "reason", "locked_by", "locked_at")
    list_filter = (("action", ChoicesDropdownFilter),)
    search_fields = ("instance__slug", "instance__domain__domain", "^instance__id", "reason")
    list_select_related = ("instance__domain", "locked_by")
    list_per_page = 50
    fields = ("instance", "action", "reason")
    autocomplete_fields = ("instance",)
    empty_text = _("Nothing is locked")
    empty_hint = _("A lock keeps everybody, the system too, from an action on an instance, and says why.")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("instance", "action") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: ActionLock, form: Any, change: bool) -> None:
        if not change:
            obj.locked_by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    def response_post_save_add(self, request: HttpRequest, obj: ActionLock) -> HttpResponseRedirect:
        """Back to the instance, where the lock was asked for."""
        if request.user.has_perm("instances.view_instance"):
            return HttpResponseRedirect(reverse("admin:instances_instance_change", args=(obj.instance_id,)))
        return super().response_post_save_add(request, obj)
