"""What is asked for on an instance's page about its backups: make one, clone, bring back, purge."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from instances import operations
from instances.admin.backup_forms import BringBackForm, CopyForm, PurgeForm
from instances.admin.instance.views import InstanceViews, request_of
from instances.errors import OperationRefused
from instances.models import Instance


class BackupViews(InstanceViews):
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        views = {
            "backup": self.backup_view,
            "clone": self.clone_view,
            "bring-back": self.bring_back_view,
            "purge": self.purge_view,
        }
        own = [
            path(f"<str:object_id>/{name}/", wrap(view), name=f"instances_instance_{name.replace('-', '_')}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    @method_decorator(require_POST)
    def backup_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, self._find(request, object_id, "add_backup"), operations.backup)

    def clone_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks what the copy shall be called."""
        instance = self._find_for(request, object_id, "add_instance", "restore_backup")
        form = CopyForm(instance, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            assert form.copy is not None
            try:
                operations.clone(instance, form.copy, request_of(request))
            except (OperationRefused, ValidationError) as refused:
                blame(form, refused)
            else:
                return self._back(form.copy)
        context = self._page(request, instance, gettext("Clone")) | {"form": form}
        return TemplateResponse(request, "admin/instances/backup/clone.html", context)

    def bring_back_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks which backup a removed instance is made of again."""
        instance = self._find_for(request, object_id, "add_instance", "restore_backup")
        form = BringBackForm(instance, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                operations.bring_back(instance, request_of(request), form.cleaned_data["backup"])
            except (OperationRefused, ValidationError) as refused:
                blame(form, refused)
            else:
                return self._back(instance)
        context = self._page(request, instance, gettext("Bring back")) | {"form": form}
        return TemplateResponse(request, "admin/instances/instance/bring_back.html", context)

    def purge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks whether all of an instance shall go, its backups, too."""
        instance = self._find_for(request, object_id, "delete_instance", "purge_instance")
        form = PurgeForm(instance, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                operations.purge(instance, request_of(request))
            except OperationRefused as refused:
                blame(form, refused)
            else:
                return self._back(instance)
        context = self._page(request, instance, gettext("Purge")) | {
            "form": form,
            "backups": instance.backups.complete(),
        }
        return TemplateResponse(request, "admin/instances/instance/purge.html", context)

    def _find_for(self, request: HttpRequest, object_id: str, *permissions: str) -> Instance:
        """Raises PermissionDenied unless the user has all of the permissions; Http404."""
        if not request.user.has_perms([f"instances.{permission}" for permission in permissions]):
            raise PermissionDenied
        return self._find(request, object_id, *permissions)


def blame(form: Form, refused: OperationRefused | ValidationError) -> None:
    """Show in the form why the operation was not filed."""
    texts: Any = refused.messages if isinstance(refused, ValidationError) else [str(refused)]
    form.add_error("slug" if isinstance(refused, ValidationError) and "slug" in form.fields else None, texts)
