"""What may stand behind the question mark of a list's address. All else is refused and named."""

from __future__ import annotations

import re
from typing import Any

import django_filters
from django import forms
from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.filters import BaseFilterBackend, SearchFilter
from rest_framework.request import Request
from rest_framework_json_api.django_filters import DjangoFilterBackend
from rest_framework_json_api.utils import get_included_resources

from instances.api.errors import BadParameter
from instances.choices import LOCKABLE, BackupReason, Desired, OperationKind, OrphanKind, Outcome, RolloutStatus, State
from instances.models import (
    ActionLock,
    Backup,
    Domain,
    Host,
    Instance,
    Operation,
    Orphan,
    Rollout,
    RolloutItem,
    StateChange,
    Version,
)
from instances.models.host import HEARD_WITHIN

SEARCH = "filter[search]"
PARAMETERS = re.compile(r"^(sort|include|filter(\[\w*\])?|fields\[\w+\]|page\[(number|size)\])\Z")


def check_parameters(request: Request, serializer_class: Any) -> None:
    """Raises BadParameter for one that JSON:API does not know, a repeated one, and an unknown ``include``."""
    for name in request.query_params:
        if not PARAMETERS.match(name):
            raise BadParameter(_("There is no such parameter."), parameter=name)
        if len(request.query_params.getlist(name)) > 1:
            raise BadParameter(_("Write it once only."), parameter=name)
    known = getattr(serializer_class, "included_serializers", {})
    for path in get_included_resources(request):
        if path not in known:
            raise BadParameter(
                _("There is no %(path)s to include. Use: %(names)s.")
                % {"path": path, "names": ", ".join(sorted(known)) or "-"},
                parameter="include",
            )


class Filters(DjangoFilterBackend):  # type: ignore[misc]
    """``filter[name]=value`` by the view's ``filterset_class``."""

    search_param = SEARCH

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        known = set(view.filterset_class.base_filters)
        for parameter, value in request.query_params.items():
            if not parameter.startswith("filter") or parameter == SEARCH:
                continue
            name = parameter.removeprefix("filter[").removesuffix("]")
            if name not in known:
                raise BadParameter(
                    _("There is no such filter. Use one of: %(names)s.")
                    % {"names": ", ".join(f"filter[{name}]" for name in sorted(known | {"search"}))},
                    parameter=parameter,
                )
            if not value:
                raise BadParameter(_("It has no value."), parameter=parameter)
        filterset = self.get_filterset(request, queryset, view)
        if not filterset.is_valid():
            name, messages = next(iter(filterset.errors.items()))
            choices = ", ".join(str(value) for value, label in filterset.filters[name].extra.get("choices", ()))
            message = _("Use one of: %(choices)s.") % {"choices": choices} if choices else messages[0]
            raise BadParameter(message, parameter=f"filter[{name}]")
        found: QuerySet[Any] = filterset.qs
        return found


class Search(SearchFilter):
    """``filter[search]=words`` in the view's ``search_fields``."""

    search_param = SEARCH

    def get_search_terms(self, request: Request) -> Any:
        try:
            return super().get_search_terms(request)
        except exceptions.ValidationError:
            raise BadParameter(_("It holds a character that no text can have."), parameter=SEARCH) from None


class Sorting(BaseFilterBackend):
    """``sort=name,-other`` by the view's ``sort_fields`` (API name to model field); the key comes last."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        asked = request.query_params.get("sort")
        if asked is None:
            return queryset
        ordering = []
        for term in asked.split(","):
            name = term.removeprefix("-")
            if name not in view.sort_fields:
                raise BadParameter(
                    _("One cannot sort by %(name)s. Use: %(names)s.")
                    % {"name": name, "names": ", ".join(sorted(view.sort_fields))},
                    parameter="sort",
                )
            ordering.append(("-" if term.startswith("-") else "") + view.sort_fields[name])
        return queryset.order_by(*ordering, "pk")


class IdField(forms.CharField):
    """The id of a row that is counted. Longer ones than the column holds are refused before the database sees them."""

    default_validators = [RegexValidator(r"^[0-9]{1,18}\Z")]


class IdFilter(django_filters.CharFilter):  # type: ignore[misc]
    field_class = IdField


TRUTH = [("true", "true"), ("false", "false")]


class InstanceFilters(django_filters.FilterSet):  # type: ignore[misc]
    slug = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(choices=State.choices, method="filter_state")
    parent_domain = django_filters.CharFilter(field_name="domain__domain")
    osversion = IdFilter(field_name="version")
    host = IdFilter(field_name="host")
    needs_attention = django_filters.ChoiceFilter(choices=TRUTH, method="filter_attention")

    class Meta:
        model = Instance
        fields: list[str] = []

    def filter_attention(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Instance]:
        return queryset.exclude(attention="") if value == "true" else queryset.filter(attention="")

    def filter_state(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Instance]:
        """By the state as it is shown (``Instance.state``)."""
        silent = Q(installed_at__isnull=False) & (
            Q(host__last_seen=None) | Q(host__last_seen__lte=timezone.now() - HEARD_WITHIN)
        )
        if value == State.UNKNOWN:
            return queryset.filter(Q(observed_state=value) | silent)
        return queryset.filter(~silent, observed_state=value)


class VersionFilters(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter()
    default = django_filters.ChoiceFilter(choices=TRUTH, method="filter_truth")
    enabled = django_filters.ChoiceFilter(choices=TRUTH, method="filter_truth")

    class Meta:
        model = Version
        fields: list[str] = []

    def filter_truth(self, queryset: QuerySet[Version], name: str, value: str) -> QuerySet[Version]:
        return queryset.filter(**{name: value == "true"})


class DomainFilters(django_filters.FilterSet):  # type: ignore[misc]
    domain = django_filters.CharFilter()

    class Meta:
        model = Domain
        fields: list[str] = []


class OperationFilters(django_filters.FilterSet):  # type: ignore[misc]
    instance = django_filters.CharFilter(field_name="instance_id")
    osversion = IdFilter(field_name="version")
    host = IdFilter(field_name="host")
    status = django_filters.ChoiceFilter(choices=Outcome.choices)
    kind = django_filters.ChoiceFilter(choices=OperationKind.choices)

    class Meta:
        model = Operation
        fields: list[str] = []


class BackupFilters(django_filters.FilterSet):  # type: ignore[misc]
    instance = django_filters.CharFilter(field_name="instance_id")
    osversion = IdFilter(field_name="version")
    host = IdFilter(field_name="host")
    reason = django_filters.ChoiceFilter(choices=BackupReason.choices)
    complete = django_filters.ChoiceFilter(choices=TRUTH, method="filter_complete")
    removed = django_filters.ChoiceFilter(choices=TRUTH, method="filter_removed")

    class Meta:
        model = Backup
        fields: list[str] = []

    def filter_complete(self, queryset: QuerySet[Backup], name: str, value: str) -> QuerySet[Backup]:
        return queryset.filter(completed_at__isnull=value == "false")

    def filter_removed(self, queryset: QuerySet[Backup], name: str, value: str) -> QuerySet[Backup]:
        """Those of instances that are removed, and can be brought back."""
        return queryset.filter(instance__removed_at__isnull=value == "false")


class LockFilters(django_filters.FilterSet):  # type: ignore[misc]
    instance = django_filters.CharFilter(field_name="instance_id")
    action = django_filters.ChoiceFilter(choices=[(kind.value, kind.label) for kind in LOCKABLE])

    class Meta:
        model = ActionLock
        fields: list[str] = []


class StateChangeFilters(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(choices=State.choices)
    wanted = django_filters.ChoiceFilter(choices=Desired.choices)

    class Meta:
        model = StateChange
        fields: list[str] = []


class RolloutFilters(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.ChoiceFilter(choices=RolloutStatus.choices)
    osversion = IdFilter(field_name="version")
    instance = django_filters.CharFilter(method="filter_instance")

    class Meta:
        model = Rollout
        fields: list[str] = []

    def filter_instance(self, queryset: QuerySet[Rollout], name: str, value: str) -> QuerySet[Rollout]:
        """A join would change what is counted."""
        return queryset.filter(pk__in=RolloutItem.objects.filter(instance=value).values("rollout"))


class OrphanFilters(django_filters.FilterSet):  # type: ignore[misc]
    kind = django_filters.ChoiceFilter(choices=OrphanKind.choices)
    host = IdFilter(field_name="host")
    instance = django_filters.CharFilter(field_name="instance_id")

    class Meta:
        model = Orphan
        fields: list[str] = []


class HostFilters(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter()

    class Meta:
        model = Host
        fields: list[str] = []
