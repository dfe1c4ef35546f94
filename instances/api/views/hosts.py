from __future__ import annotations

from instances.api.filters import HostFilters
from instances.api.serializers.host import HostSerializer
from instances.api.views.base import ReadView
from instances.models import Host


class HostView(ReadView):
    """The machines that run instances."""

    resource_name = "hosts"
    queryset = Host.objects.all()
    serializer_class = HostSerializer
    filterset_class = HostFilters
    search_fields = ["name"]
    sort_fields = {"name": "name", "capacity": "capacity"}
