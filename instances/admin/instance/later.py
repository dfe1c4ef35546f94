"""The page that asks for something that shall begin later: what has no page of its own that asks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget

from instances import operations
from instances.admin.instance.views import InstanceViews, request_of, tell_if_postponed
from instances.admin.moments import NotBeforeField
from instances.choices import OperationKind
from instances.errors import OperationRefused

NEEDS = {
    OperationKind.STOP: "instances.change_instance",
    OperationKind.START: "instances.change_instance",
    OperationKind.BACKUP: "instances.add_backup",
}
ASKS = {
    OperationKind.STOP: operations.stop,
    OperationKind.START: operations.start,
    OperationKind.BACKUP: operations.backup,
}


class LaterForm(forms.Form):
    kind = forms.ChoiceField(label=_("What"), widget=UnfoldAdminSelectWidget())
    not_before = NotBeforeField(required=True)

    def __init__(self, *arguments: Any, kinds: list[OperationKind], **options: Any) -> None:
        super().__init__(*arguments, **options)
        field = self.fields["kind"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(kind.value, capfirst(str(kind.label))) for kind in kinds]


def kinds_for(user: User | AnonymousUser) -> list[OperationKind]:
    """What the user may ask for, for later."""
    return [kind for kind, permission in NEEDS.items() if user.has_perm(permission)]


class LaterViews(InstanceViews):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.later_view)
        return [path("<str:object_id>/later/", view, name="instances_instance_later"), *super().get_urls()]

    def later_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        kinds = kinds_for(request.user)
        if not kinds:
            raise PermissionDenied
        instance = self._find(request, object_id, "change_instance", "add_backup")
        form = LaterForm(request.POST if request.method == "POST" else None, kinds=kinds)
        if request.method == "POST" and form.is_valid():
            ask = ASKS[OperationKind(form.cleaned_data["kind"])]
            try:
                filed = ask(instance, request_of(request, form.cleaned_data["not_before"]))
            except OperationRefused as refused:
                form.add_error(None, str(refused))
            else:
                tell_if_postponed(request, filed)
                return self._back(instance)
        context = self._page(request, instance, gettext("Postpone")) | {"form": form}
        return TemplateResponse(request, "admin/instances/instance/later.html", context)
