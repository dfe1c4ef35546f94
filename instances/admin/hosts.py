"""Machines that run instances."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from instances.admin.badges import Badge, badge, host_badge
from instances.admin.base import ModelForm
from instances.admin.deleting import DeletesHistory
from instances.admin.domains import PRESENT, number_with_link
from instances.admin.live import LiveBadges
from instances.deployment import UnsupportedHost, deployer_for
from instances.models import Host, Operation
from instances.models.operation import OperationQuerySet


class HostForm(ModelForm[Host]):
    def clean_kind(self) -> str:
        kind: str = self.cleaned_data["kind"]
        try:
            deployer_for(kind)
        except UnsupportedHost:
            raise ValidationError(
                gettext("This installation cannot run instances on hosts of this kind. Choose embedded.")
            ) from None
        return kind


@admin.register(Host)
class HostAdmin(LiveBadges, DeletesHistory):
    form = HostForm
    list_display = ("name", "heard", "kind", "load", "last_seen")
    search_fields = ("name",)
    list_per_page = 50
    empty_text = _("No host yet")
    empty_hint = _("Instances run on hosts. Add one, and start a worker for it there.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        queryset: QuerySet[Host] = super().get_queryset(request)
        return queryset.annotate(used=Count("instances", filter=PRESENT))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("name", "kind", "capacity")}),)
        hint = gettext(
            "The worker on this machine has to take the tasks of its queue: celery -A multiinstance worker --queues %s"
        )
        return (
            (None, {"fields": ("name", "kind", "capacity")}),
            # The name is a DNS label, so there is nothing in it to be escaped.
            (_("Worker"), {"fields": ("heard", "last_seen"), "description": hint % obj.queue}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The worker's queue has the host's name, and its instances were made for its kind."""
        return ("name", "kind", "heard", "last_seen") if obj is not None else ()

    @admin.display(description=_("worker"))
    def heard(self, host: Host) -> SafeString:
        shown = host_badge(host)
        return badge(shown["label"], shown["colour"], live_id=host.pk, note=shown["note"])

    @admin.display(description=_("instances"), ordering="used")
    def load(self, host: Any) -> SafeString:
        percent = min(100, 100 * host.used // host.capacity) if host.capacity else 100
        return format_html(
            '<span class="mi-load">{}<span class="mi-of">/ {}</span>'
            '<span class="mi-meter"><span data-full="{}" style="width: {}%"></span></span></span>',
            number_with_link(host.used, host__id__exact=host.pk),
            host.capacity,
            "yes" if percent >= 90 else "no",
            percent,
        )

    def badge_of(self, row: Host) -> Badge:
        return host_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Host]:
        return Host.objects.filter(pk__in=ids)

    def operations_of(self, rows: Any) -> OperationQuerySet:
        return Operation.objects.filter(host__in=rows)
