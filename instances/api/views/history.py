"""What became of an instance: its states with their times, and the figures that follow from them."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from instances.api.errors import BadParameter
from instances.api.filters import StateChangeFilters, check_parameters
from instances.api.permissions import Needs
from instances.api.serializers.history import AvailabilitySerializer, StateChangeSerializer
from instances.api.views.base import ReadView
from instances.api.views.instances import InstanceView
from instances.availability import report
from instances.models import Instance, StateChange

DAYS = "filter[days]"
DEFAULT_DAYS, MOST_DAYS = 30, 3660


class HistoryView(ReadView):
    """The changes of one instance's state, the newest first; of a removed one, too."""

    resource_name = "state-changes"
    queryset = StateChange.objects.all()
    serializer_class = StateChangeSerializer
    filterset_class = StateChangeFilters
    permission_classes = [Needs.permission("instances.view_instance")]
    search_fields = ["state"]
    sort_fields = {"at": "at"}

    def get_queryset(self) -> QuerySet[StateChange]:
        # NUL: PostgreSQL refuses to compare with it.
        identity = self.kwargs["instance"]
        if not identity.isalnum() or not Instance.objects.filter(pk=identity).exists():
            raise Http404
        return super().get_queryset().filter(instance=identity)


class AvailabilityView(InstanceView):
    """How long an instance was in which state, and the share of the time in which it answered."""

    resource_name = "availabilities"
    queryset = Instance.objects.all()
    serializer_class = AvailabilitySerializer

    def show(self, request: Request, pk: str) -> Response:
        return Response(AvailabilitySerializer(report(self.get_object(), days_of(request))).data)


def days_of(request: Request) -> int:
    """Raises BadParameter."""
    check_parameters(request, AvailabilitySerializer)
    for name in request.query_params:
        if name != DAYS:
            raise BadParameter(_("There is no such parameter."), parameter=name)
    value = request.query_params.get(DAYS, str(DEFAULT_DAYS))
    if not (value.isascii() and value.isdecimal() and len(value) <= 4 and 1 <= int(value) <= MOST_DAYS):
        raise BadParameter(_("Write a number of days from 1 to %(most)s.") % {"most": MOST_DAYS}, parameter=DAYS)
    return int(value)
