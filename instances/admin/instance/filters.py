"""Filters of the list of instances, and the states as they are shown put into the language of queries."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.admin.base import DropdownFilter
from instances.choices import State
from instances.models import Instance
from instances.models.host import HEARD_WITHIN
from instances.models.instance import InstanceQuerySet


def is_known() -> Q:
    """Of instances whose observed state is shown as it stands in the row; see :attr:`Instance.state`."""
    # "Is not null" is said although the comparison implies it, because the negation of a comparison with
    # null is null: Django turns the two together into a condition whose negation finds the host never seen.
    heard = Q(host__last_seen__isnull=False) & Q(host__last_seen__gt=timezone.now() - HEARD_WITHIN)
    return heard | Q(installed_at=None)


def in_state(state: str) -> Q:
    """Of instances that are shown in the state."""
    if state == State.UNKNOWN:
        return Q(observed_state=State.UNKNOWN) | ~is_known()
    return Q(observed_state=state) & is_known()


class StateFilter(DropdownFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Instance]) -> QuerySet[Instance]:
        return queryset.filter(in_state(self.value() or "")) if self.value() in State.values else queryset


class AttentionFilter(DropdownFilter):
    """What the system has given up to bring where it is wanted."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", str(_("Needs attention")))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Instance]) -> QuerySet[Instance]:
        return queryset.exclude(attention="") if self.value() == "yes" else queryset


class RemovedFilter(DropdownFilter):
    """Without it, removed instances are not in the list."""

    title = _("removal")
    parameter_name = "removed"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", _("Present")), ("only", _("Removed")), ("also", _("Present and removed"))]  # type: ignore[list-item]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Instance]) -> QuerySet[Instance]:
        match self.value():
            case "only":
                return queryset.exclude(removed_at=None)
            case "also":
                return queryset
            case _:
                return present(queryset)


def present(queryset: QuerySet[Instance]) -> InstanceQuerySet:
    assert isinstance(queryset, InstanceQuerySet)
    return queryset.present()
