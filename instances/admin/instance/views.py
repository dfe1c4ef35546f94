"""What is asked for on an instance's page: start, stop, update, remove, and the passwords."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from instances import operations
from instances.admin.base import ModelAdmin
from instances.admin.instance.page import head_of, newer_versions
from instances.admin.live import NO_STORE
from instances.admin.moments import PostponableForm
from instances.choices import Origin, Outcome, Preparation
from instances.errors import OperationRefused
from instances.fields import CannotDecrypt
from instances.models import Instance, Operation, Version

logger = logging.getLogger(__name__)

Ask = Callable[[Instance, operations.Request], Operation]


class _Versions(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        if obj.preparation == Preparation.PREPARED:
            return str(obj)
        return gettext("%(version)s (not prepared yet; that is done first)") % {"version": obj}


class UpdateForm(PostponableForm):
    version = _Versions(
        Version.objects.none(),
        label=_("New version"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget(),
        error_messages={"invalid_choice": _("This version cannot be taken. Choose one of the list.")},
    )

    field_order = ["version", "not_before"]


class MailForm(forms.Form):
    recipient = forms.EmailField(
        label=_("Recipient"),
        help_text=_("Gets a short mail from the instance, on the way that OpenSlides' own mails take."),
        widget=UnfoldAdminEmailInputWidget(),
    )


def request_of(request: HttpRequest, not_before: datetime | None = None) -> operations.Request:
    """Who asks for an operation in the admin, and for when."""
    return operations.Request(via=Origin.ADMIN, user=request.user, not_before=not_before)  # type: ignore[arg-type]


def tell_if_postponed(request: HttpRequest, operation: Operation) -> None:
    """What begins at once is seen on the page that comes next; what does not is said."""
    if operation.status == Outcome.POSTPONED and operation.not_before is not None:
        when = date_format(localtime(operation.not_before), "DATETIME_FORMAT")
        text = gettext("%(what)s is postponed: it begins on %(when)s")
        messages.success(request, text % {"what": capfirst(str(operation)), "when": when})


class InstanceViews(ModelAdmin[Instance]):
    """Everything but the list and the form."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        views = {
            "live": self.live_view,
            "start": self.start_view,
            "stop": self.stop_view,
            "try-again": self.try_again_view,
            "update": self.update_view,
            "mail": self.mail_view,
            "credentials": self.credentials_view,
        }
        own = [
            path(f"<str:object_id>/{name}/", wrap(view), name=f"instances_instance_{name.replace('-', '_')}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def live_view(self, request: HttpRequest, object_id: str) -> TemplateResponse:
        """The head of the page as a piece of HTML."""
        instance = self._find(request, object_id, "view_instance", "change_instance")
        context = {"head": head_of(instance, request)}
        return TemplateResponse(request, "admin/instances/instance/live.html", context, headers=NO_STORE)

    @method_decorator(require_POST)
    def start_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, self._find(request, object_id, "change_instance"), operations.start)

    @method_decorator(require_POST)
    def stop_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, self._find(request, object_id, "change_instance"), operations.stop)

    @method_decorator(require_POST)
    def try_again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        instance = self._find(request, object_id, "change_instance", "delete_instance")
        if not request.user.has_perm(operations.permission_to_try_again(instance)):
            raise PermissionDenied
        return self._ask(request, instance, operations.try_again)

    def update_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks for the new version."""
        instance = self._find(request, object_id, "change_instance")
        offered = newer_versions(instance)
        form = UpdateForm(request.POST or None)
        field = form.fields["version"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Version.objects.filter(pk__in=[version.pk for version in offered])
        if request.method == "POST" and form.is_valid():
            try:
                asked = request_of(request, form.cleaned_data["not_before"])
                filed = operations.update(instance, form.cleaned_data["version"], asked)
            except OperationRefused as refused:
                form.add_error("version" if refused.field == "version" else None, str(refused))
            else:
                tell_if_postponed(request, filed)
                return self._back(instance)
        context = self._page(request, instance, gettext("Update")) | {"form": form, "offered": offered}
        return TemplateResponse(request, "admin/instances/instance/update.html", context)

    def mail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks whom to send a test mail to."""
        instance = self._find(request, object_id, "change_instance")
        address = getattr(request.user, "email", "")
        form = MailForm(request.POST or None, initial={"recipient": address})
        if request.method == "POST" and form.is_valid():
            try:
                operations.send_test_mail(instance, form.cleaned_data["recipient"], request_of(request))
            except OperationRefused as refused:
                form.add_error(None, str(refused))
            else:
                return self._back(instance)
        context = self._page(request, instance, gettext("Send a test mail")) | {"form": form}
        return TemplateResponse(request, "admin/instances/instance/mail.html", context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Of a present instance: asks, and files its removal. Of a removed one: deletes what is left, the record."""
        instance = self._find(request, object_id, "delete_instance")
        if instance.removed_at is not None:
            return super().delete_view(request, object_id, extra_context)
        form = PostponableForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._ask(request, instance, operations.remove, form.cleaned_data["not_before"])
        context = self._page(request, instance, gettext("Remove")) | {
            "form": form,
            "removed": [instance],
            "keep_days": round(settings.REMOVED_KEEP_DAYS),
            "back": self._page_of(instance),
        }
        return TemplateResponse(request, "admin/instances/instance/remove.html", context)

    @method_decorator(require_POST)
    def credentials_view(self, request: HttpRequest, object_id: str) -> JsonResponse:
        """The passwords that OpenSlides was created with."""
        if not request.user.has_perm("instances.view_credentials"):
            raise PermissionDenied
        instance = self._find(request, object_id, "view_instance", "change_instance")
        logger.info("Credentials of %s (%s) were shown to %s.", instance, instance.pk, request.user.get_username())
        try:
            accounts = [
                {"account": gettext("Superadmin"), "username": "admin", "password": instance.superadmin_password},
                {
                    "account": gettext("Local administrator"),
                    "username": instance.admin_username,
                    "password": instance.admin_initial_password,
                },
            ]
        except CannotDecrypt as error:
            return JsonResponse({"error": str(error)}, status=503, headers=NO_STORE)
        return JsonResponse({"accounts": accounts}, headers=NO_STORE)

    def _find(self, request: HttpRequest, object_id: str, *permissions: str) -> Instance:
        """Raises PermissionDenied when the user has none of the permissions; Http404."""
        if not any(request.user.has_perm(f"instances.{permission}") for permission in permissions):
            raise PermissionDenied
        instance = self.get_object(request, object_id)
        if instance is None:
            raise Http404(gettext("There is no such instance."))
        return instance

    def _ask(
        self, request: HttpRequest, instance: Instance, ask: Ask, not_before: datetime | None = None
    ) -> HttpResponse:
        try:
            filed = ask(instance, request_of(request, not_before))
        except OperationRefused as refused:
            messages.error(request, str(refused))
        else:
            tell_if_postponed(request, filed)
        return self._back(instance)

    def _page_of(self, instance: Instance) -> str:
        return reverse("admin:instances_instance_change", args=(instance.pk,))

    def _back(self, instance: Instance) -> HttpResponse:
        return HttpResponseRedirect(self._page_of(instance))

    def _page(self, request: HttpRequest, instance: Instance, title: str) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": instance,
            "instance": instance,
            "title": title,
        }
