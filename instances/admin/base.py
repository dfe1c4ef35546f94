"""The one place where unfold's classes, which carry no types, and Django's, which do, are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, SimpleListFilter
    from django.contrib.admin.views.main import ChangeList
    from django.forms import ModelForm

    DropdownFilter = SimpleListFilter
else:
    from django.forms import ModelForm as DjangoModelForm
    from unfold.admin import ModelAdmin as UnfoldModelAdmin
    from unfold.contrib.filters.admin import DropdownFilter
    from unfold.views import ChangeList

    class ModelAdmin(UnfoldModelAdmin):
        """unfold's, which at run time takes a model in brackets as its typed twin does."""

        def __class_getitem__(cls, model: Any) -> type:
            return cls

    class ModelForm(DjangoModelForm):
        def __class_getitem__(cls, model: Any) -> type:
            return cls


__all__ = ["ChangeList", "DropdownFilter", "ModelAdmin", "ModelForm"]
