"""What is done to the instances that were marked in the list."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from instances import operations
from instances.admin.instance.views import Ask, request_of
from instances.admin.rollout_begin import RolloutAction
from instances.choices import OperationKind
from instances.errors import OperationRefused
from instances.models import ActionLock, Instance

MOST_REASONS = 20
"""So many of those that were left out are named."""


class InstanceActions(RolloutAction):
    actions = ("start_selected", "stop_selected", "update_in_waves", "remove_selected", "delete_selected")

    @admin.action(description=_("Start the selected instances"), permissions=["change"])
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        self._ask_all(request, queryset, operations.start)

    @admin.action(description=_("Stop the selected instances"), permissions=["change"])
    def stop_selected(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        self._ask_all(request, queryset, operations.stop)

    @admin.action(description=_("Remove the selected instances"), permissions=["delete"])
    def remove_selected(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponseBase | None:
        """Asks first."""
        if "confirmed" in request.POST:
            self._ask_all(request, queryset, operations.remove)
            return None
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Remove"),
            "removed": queryset.filter(removed_at=None).prefetch_related(
                Prefetch("locks", ActionLock.objects.filter(action=OperationKind.REMOVE), to_attr="removal_locks")
            ),
            "keep_days": round(settings.REMOVED_KEEP_DAYS),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "back": reverse("admin:instances_instance_changelist"),
        }
        return TemplateResponse(request, "admin/instances/instance/remove.html", context)

    @admin.action(description=_("Delete the records of removed instances"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Instance]) -> Any:
        """Django's own action, for those only of which nothing is left but the record."""
        removed = queryset.exclude(removed_at=None)
        if not removed.exists():
            messages.error(
                request, gettext("Only the records of removed instances can be deleted. Remove the instances first.")
            )
            return None
        return delete_selected(self, request, removed)

    def _ask_all(self, request: HttpRequest, queryset: QuerySet[Instance], ask: Ask) -> None:
        done, left_out = 0, []
        for instance in queryset:
            try:
                ask(instance, request_of(request))
            except OperationRefused as refused:
                # Most reasons name the instance themselves.
                reason = str(refused)
                left_out.append(reason if str(instance) in reason else f"{instance}: {reason}")
            else:
                done += 1
        if left_out:
            messages.warning(request, _left_out(left_out))
        if done:
            text = ngettext("Asked for on %(n)s instance.", "Asked for on %(n)s instances.", done)
            messages.success(request, text % {"n": done})


def _left_out(reasons: list[str]) -> SafeString:
    """Which were left out, and why."""
    number = len(reasons)
    head = ngettext("%(n)s instance was left out:", "%(n)s instances were left out:", number) % {"n": number}
    lines = reasons[:MOST_REASONS]
    if number > MOST_REASONS:
        more = number - MOST_REASONS
        lines.append(ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more})
    return format_html(
        '{}<ul class="mi-names">{}</ul>', head, format_html_join("", "<li>{}</li>", ((line,) for line in lines))
    )
