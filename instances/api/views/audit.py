"""The log of who did what: read only, for superusers, too."""

from __future__ import annotations

from typing import Any

import django_filters
from auditlog.models import LogEntry
from django import forms
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _

from instances import audit
from instances.api.serializers.audit import ACTIONS, RESOURCES, AuditSerializer
from instances.api.views.base import ReadView
from instances.choices import Origin


class MomentField(forms.CharField):
    """A time with its zone: without one, nobody knows which hour is meant."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            # A plus in an address stands for a blank.
            found = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        except ValueError:
            found = None
        if found is None or is_naive(found):
            raise forms.ValidationError(_("Write a time with its zone, like 2026-11-24T02:00:00Z."))
        return found


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = MomentField


class AuditFilters(django_filters.FilterSet):  # type: ignore[misc]
    instance = django_filters.CharFilter(method="filter_instance")
    actor = django_filters.CharFilter(method="filter_actor")
    action = django_filters.ChoiceFilter(choices=[(name, name) for name in ACTIONS.values()], method="filter_action")
    resource_type = django_filters.ChoiceFilter(
        choices=[(name, name) for name in RESOURCES.values()], method="filter_resource_type"
    )
    via = django_filters.ChoiceFilter(choices=Origin.choices, field_name="additional_data__via")
    token = django_filters.CharFilter(field_name="additional_data__token")
    since = MomentFilter(field_name="timestamp", lookup_expr="gte")
    until = MomentFilter(field_name="timestamp", lookup_expr="lt")

    class Meta:
        model = LogEntry
        fields: list[str] = []

    def filter_instance(self, queryset: QuerySet[LogEntry], name: str, value: str) -> QuerySet[LogEntry]:
        return queryset.filter(audit.belonging_to(value))

    def filter_actor(self, queryset: QuerySet[LogEntry], name: str, value: str) -> QuerySet[LogEntry]:
        """By the name of an account, of a deleted one, too, or of a user of the operating system."""
        named = Q(actor=None, additional_data__who=value)
        return queryset.filter(Q(actor__username=value) | named)

    def filter_action(self, queryset: QuerySet[LogEntry], name: str, value: str) -> QuerySet[LogEntry]:
        return queryset.filter(action__in=[number for number, word in ACTIONS.items() if word == value])

    def filter_resource_type(self, queryset: QuerySet[LogEntry], name: str, value: str) -> QuerySet[LogEntry]:
        return queryset.filter(content_type__model__in=[model for model, word in RESOURCES.items() if word == value])


class AuditView(ReadView):
    """The newest comes first."""

    resource_name = "audit-entries"
    queryset = LogEntry.objects.all()
    serializer_class = AuditSerializer
    filterset_class = AuditFilters
    search_fields = ["object_repr", "actor__username", "remote_addr"]
    sort_fields = {"time": "timestamp", "id": "id"}

    def get_queryset(self) -> QuerySet[LogEntry]:
        return super().get_queryset().select_related("actor", "content_type").order_by("-timestamp", "-id")
