"""Users and groups of the control plane, in the look of the other pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from instances.admin.base import ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)

if TYPE_CHECKING:
    _UserAdmin = DjangoUserAdmin[User]
    _GroupAdmin = DjangoGroupAdmin
else:

    class _UserAdmin(DjangoUserAdmin, ModelAdmin):
        pass

    class _GroupAdmin(DjangoGroupAdmin, ModelAdmin):
        pass


@admin.register(User)
class UserAdmin(_UserAdmin):
    form: Any = UserChangeForm
    add_form: Any = UserCreationForm
    change_password_form: Any = AdminPasswordChangeForm
    list_per_page = 50


@admin.register(Group)
class GroupAdmin(_GroupAdmin):
    list_per_page = 50
