"""Whether somebody may do what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Model
from rest_framework import permissions
from rest_framework.request import Request
from rest_framework_json_api.utils import get_included_resources

if TYPE_CHECKING:
    # REST framework's views import these classes, by name, from the settings.
    from rest_framework.views import APIView


class IsStaff(permissions.BasePermission):
    """Active staff members, as in the admin."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_authenticated and request.user.is_active and request.user.is_staff)


class StaffModelPermissions(permissions.DjangoModelPermissions):
    """Staff with Django's permission on the model: the one to view for reading, too, and for what is included."""

    perms_map = {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
        "POST": ["%(app_label)s.add_%(model_name)s"],
        "PUT": ["%(app_label)s.change_%(model_name)s"],
        "PATCH": ["%(app_label)s.change_%(model_name)s"],
        "DELETE": ["%(app_label)s.delete_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: Any) -> bool:
        if not IsStaff().has_permission(request, view) or not super().has_permission(request, view):
            return False
        models = _included_models(getattr(view, "serializer_class", None), get_included_resources(request))
        return bool(
            request.user.has_perms([f"{model._meta.app_label}.view_{model._meta.model_name}" for model in models])
        )


class MayChange(StaffModelPermissions):
    """For what is asked for with POST, but changes something that is there."""

    perms_map = {**StaffModelPermissions.perms_map, "POST": StaffModelPermissions.perms_map["PATCH"]}


class Needs(IsStaff):
    """Staff with all the permissions of ``needed``, and those to view what is included."""

    needed: tuple[str, ...] = ()

    @classmethod
    def permission(cls, *needed: str) -> type[Needs]:
        return type("Needs", (cls,), {"needed": needed})

    def has_permission(self, request: Request, view: Any) -> bool:
        models = _included_models(getattr(view, "serializer_class", None), get_included_resources(request))
        included = [f"{model._meta.app_label}.view_{model._meta.model_name}" for model in models]
        return super().has_permission(request, view) and request.user.has_perms([*self.needed, *included])


def _included_models(serializer_class: Any, includes: list[str]) -> set[type[Model]]:
    """The models that come along. A name that there is not is refused later (``check_parameters``)."""
    included = getattr(serializer_class, "included_serializers", {})
    return {included[name].Meta.model for name in includes if name in included}
