"""Operations: what was asked for, by whom, and what came of it. Nobody writes them here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import operations
from instances.admin import dashboard
from instances.admin.badges import Badge, badge, duration, operation_badge
from instances.admin.instance.views import request_of
from instances.admin.live import NO_STORE, LiveBadges
from instances.admin.progress import card_of, with_steps
from instances.errors import OperationRefused
from instances.models import Operation


@admin.register(Operation)
class OperationAdmin(LiveBadges):
    list_display = ("what", "status_badge", "host", "requester", "requested_via", "created_at", "time", "failed_step")
    list_display_links = ("what",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("requested_via", ChoicesDropdownFilter),
        ("host", RelatedDropdownFilter),
    )
    search_fields = (
        "instance__slug",
        "instance__domain__domain",
        "instance__event_name",
        "^instance__id",
        "version__name",
    )
    search_help_text = _("Slug, domain, event name or id of an instance, or the name of a version")
    list_select_related = ("instance__domain", "version", "backup__instance__domain", "host", "requested_by")
    list_per_page = 50
    sortable_by = ("created_at",)
    actions = None
    empty_text = _("No operation yet")
    empty_hint = _("Whatever is done to an instance or a version is listed here with its steps.")
    fieldsets = ((None, {"fields": ()}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("operation"))
    def what(self, operation: Operation) -> str:
        return capfirst(str(operation))

    @admin.display(description=_("status"))
    def status_badge(self, operation: Operation) -> SafeString:
        shown = operation_badge(operation)
        return badge(shown["label"], shown["colour"], live_id=operation.pk)

    @admin.display(description=_("requested by"))
    def requester(self, operation: Operation) -> str:
        return str(operation.requested_by or "–")

    @admin.display(description=_("duration"))
    def time(self, operation: Operation) -> SafeString:
        return format_html('<span class="mi-nowrap">{}</span>', duration(operation.seconds) or "–")

    def badge_of(self, row: Operation) -> Badge:
        return operation_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Operation]:
        return Operation.objects.filter(pk__in=ids)

    def get_urls(self) -> list[URLPattern]:
        live = self.admin_site.admin_view(self.live_view)
        overview = self.admin_site.admin_view(dashboard.live_view)
        return [
            path("overview/", overview, name="instances_operation_overview"),
            path("<int:operation_id>/live/", live, name="instances_operation_live"),
            path(
                "<int:operation_id>/cancel/",
                self.admin_site.admin_view(self.cancel_view),
                name="instances_operation_cancel",
            ),
            path(
                "<int:operation_id>/begin/",
                self.admin_site.admin_view(self.begin_view),
                name="instances_operation_begin",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if found is not None and self.has_view_permission(request, found):
            context |= self._live_context(request, found.pk)
            context["live_url"] = reverse("admin:instances_operation_live", args=(found.pk,))
            context["title"] = capfirst(str(found))
        return super().change_view(request, object_id, form_url, context)

    def cancel_view(self, request: HttpRequest, operation_id: int) -> HttpResponse:
        """The page that asks before an operation is cancelled."""
        if not request.user.has_perm("instances.change_instance"):
            raise PermissionDenied
        operation = get_object_or_404(Operation.objects.select_related("instance__domain", "version"), pk=operation_id)
        back = reverse("admin:instances_operation_change", args=(operation.pk,))
        if request.method == "POST":
            try:
                cancelled = operations.cancel(operation, request_of(request))
            except OperationRefused as refused:
                messages.error(request, str(refused))
            else:
                done = _("It is cancelled.") if cancelled.is_finished else _("It is being cancelled.")
                messages.success(request, str(done))
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Cancel"),
            "opts": self.opts,
            "operation": operation,
            "back": back,
        }
        return TemplateResponse(request, "admin/instances/operation/cancel.html", context)

    @method_decorator(require_POST)
    def begin_view(self, request: HttpRequest, operation_id: int) -> HttpResponse:
        """Let a postponed operation begin now; then to its instance, where that is seen."""
        if not request.user.has_perm("instances.change_instance"):
            raise PermissionDenied
        operation = get_object_or_404(Operation.objects.select_related("instance__domain", "version"), pk=operation_id)
        if not request.user.has_perm(operations.permission_to_begin(operation)):
            raise PermissionDenied
        try:
            operations.begin_now(operation)
        except OperationRefused as refused:
            messages.error(request, str(refused))
        if operation.instance_id is None:
            return HttpResponseRedirect(reverse("admin:instances_operation_change", args=(operation.pk,)))
        return HttpResponseRedirect(reverse("admin:instances_instance_change", args=(operation.instance_id,)))

    def live_view(self, request: HttpRequest, operation_id: int) -> TemplateResponse:
        """The operation's card as a piece of HTML; five queries."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self._live_context(request, operation_id)
        return TemplateResponse(request, "admin/instances/operation/live.html", context, headers=NO_STORE)

    def _live_context(self, request: HttpRequest, operation_id: int) -> dict[str, Any]:
        rows = with_steps(Operation.objects.all(), whole=True)
        operation = get_object_or_404(rows, pk=operation_id)
        if not operation.is_finished:
            operation = get_object_or_404(with_steps(Operation.objects.all()), pk=operation_id)
        card = card_of(operation, request)
        assert card is not None
        return {"card": card, "busy": card.busy, "operation": operation, "on_own_page": True}
