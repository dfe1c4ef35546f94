"""Updates of many: their list, the page on which one can be watched, and what is asked for there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import rollouts
from instances.admin.badges import Badge, badge
from instances.admin.instance.views import request_of
from instances.admin.live import NO_STORE, LiveBadges
from instances.admin.rollout_begin import BeginForm, begin_page, chosen_instances, offered_versions, planned
from instances.admin.rollout_page import page_of, rollout_badge
from instances.errors import OperationRefused
from instances.models import Rollout


@admin.register(Rollout)
class RolloutAdmin(LiveBadges):
    list_display = ("what", "status_badge", "failures", "waves", "requester", "created_at", "finished_at")
    list_display_links = ("what",)
    list_filter = (("status", ChoicesDropdownFilter), ("version", RelatedDropdownFilter))
    list_select_related = ("version", "requested_by")
    list_per_page = 50
    search_fields = ("version__name", "items__instance__slug")
    search_help_text = _("Name of the version, or slug of an instance")
    actions = None
    empty_text = _("No update of many yet")
    empty_hint = _("Mark instances in their list, and choose “Update in waves” below it.")
    fieldsets = ((None, {"fields": ()}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rollout]:
        return rollouts.with_counts(super().get_queryset(request))

    @admin.display(description=_("update to"), ordering="version__name")
    def what(self, rollout: Rollout) -> str:
        return str(rollout.version)

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, rollout: Rollout) -> SafeString:
        shown = rollout_badge(rollout)
        return badge(shown["label"], shown["colour"], live_id=rollout.pk, note=shown["note"])

    @admin.display(description=_("failed"))
    def failures(self, rollout: Any) -> str:
        return str(rollout.failed) if rollout.failed else "–"

    @admin.display(description=_("requested by"))
    def requester(self, rollout: Rollout) -> str:
        return str(rollout.requested_by or "–")

    def badge_of(self, row: Rollout) -> Badge:
        return rollout_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Rollout]:
        return rollouts.with_counts(Rollout.objects.filter(pk__in=ids))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("begin/", wrap(self.begin_view), name="instances_rollout_begin"),
            path("begin/plan/", wrap(self.plan_view), name="instances_rollout_plan"),
            path("<int:rollout_id>/live/", wrap(self.live_view), name="instances_rollout_live"),
            path("<int:rollout_id>/resume/", wrap(self.resume_view), name="instances_rollout_resume"),
            path("<int:rollout_id>/cancel/", wrap(self.cancel_view), name="instances_rollout_cancel"),
            *super().get_urls(),
        ]

    # Beginning one

    def begin_view(self, request: HttpRequest) -> HttpResponse:
        """Begins it, if the plan that was seen is the one of these values; otherwise shows the plan."""
        self._may_begin(request)
        instances = chosen_instances(request.POST.get("chosen", ""))
        if not instances:
            messages.info(request, gettext("Mark the instances in the list, and choose “Update in waves” below it."))
            return HttpResponseRedirect(reverse("admin:instances_instance_changelist"))
        form = BeginForm(request.POST, offered=offered_versions(instances))
        if form.is_valid():
            if form.cleaned_data["seen"] != form.key:
                form.add_error(None, gettext("These are the waves now. Begin, if this is what you want."))
                return begin_page(request, self.admin_site, form, instances)
            values = form.cleaned_data
            try:
                rollout = rollouts.begin(
                    values["version"],
                    instances,
                    request_of(request),
                    waves=values["waves"],
                    failure_percent=values["failure_percent"],
                    not_before=values["not_before"],
                )
            except OperationRefused as refused:
                form.add_error(refused.field if refused.field in form.fields else None, str(refused))
            else:
                return HttpResponseRedirect(reverse("admin:instances_rollout_change", args=(rollout.pk,)))
        return begin_page(request, self.admin_site, form, instances)

    @method_decorator(require_POST)
    def plan_view(self, request: HttpRequest) -> TemplateResponse:
        """The plan for the values that stand in the form, as a piece of HTML."""
        self._may_begin(request)
        instances = chosen_instances(request.POST.get("chosen", ""))
        form = BeginForm(request.POST, offered=offered_versions(instances))
        context = {"plan": planned(form, instances)}
        return TemplateResponse(request, "admin/instances/rollout/plan.html", context, headers=NO_STORE)

    @staticmethod
    def _may_begin(request: HttpRequest) -> None:
        if not request.user.has_perms(["instances.add_rollout", "instances.change_instance"]):
            raise PermissionDenied

    # Watching one

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        found = self.get_object(request, object_id)
        if found is not None and self.has_view_permission(request, found):
            context["page"] = page_of(found, request)
            context["live_url"] = reverse("admin:instances_rollout_live", args=(found.pk,))
            context["title"] = gettext("Update of many to %(version)s") % {"version": found.version}
        return super().change_view(request, object_id, form_url, context)

    def live_view(self, request: HttpRequest, rollout_id: int) -> TemplateResponse:
        """What the page shows, as a piece of HTML."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"page": page_of(get_object_or_404(self.get_queryset(request), pk=rollout_id), request)}
        return TemplateResponse(request, "admin/instances/rollout/live.html", context, headers=NO_STORE)

    @method_decorator(require_POST)
    def resume_view(self, request: HttpRequest, rollout_id: int) -> HttpResponse:
        retry_failed = "retry" in request.GET
        return self._ask(request, rollout_id, lambda rollout: rollouts.resume(rollout, retry_failed=retry_failed))

    def cancel_view(self, request: HttpRequest, rollout_id: int) -> HttpResponse:
        """Asks first."""
        if request.method == "POST":
            return self._ask(request, rollout_id, lambda rollout: rollouts.cancel(rollout, request_of(request)))
        self._may_change(request)
        rollout = get_object_or_404(self.get_queryset(request), pk=rollout_id)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Cancel"),
            "rollout": rollout,
            "back": reverse("admin:instances_rollout_change", args=(rollout.pk,)),
        }
        return TemplateResponse(request, "admin/instances/rollout/cancel.html", context)

    def _ask(self, request: HttpRequest, rollout_id: int, ask: Callable[[Rollout], Rollout]) -> HttpResponse:
        self._may_change(request)
        rollout = get_object_or_404(Rollout, pk=rollout_id)
        try:
            ask(rollout)
        except OperationRefused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("admin:instances_rollout_change", args=(rollout.pk,)))

    @staticmethod
    def _may_change(request: HttpRequest) -> None:
        if not request.user.has_perms(["instances.change_rollout", "instances.change_instance"]):
            raise PermissionDenied
