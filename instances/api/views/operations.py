from __future__ import annotations

from django.db.models import Prefetch, QuerySet
from rest_framework_json_api.utils import get_included_resources

from instances.api.filters import OperationFilters
from instances.api.queries import with_operations, with_subjects
from instances.api.serializers.operation import OperationSerializer
from instances.api.views.base import ReadView
from instances.models import Instance, Operation


class OperationView(ReadView):
    """What was asked for, and what came of it. The newest comes first."""

    resource_name = "operations"
    queryset = Operation.objects.all()
    serializer_class = OperationSerializer
    filterset_class = OperationFilters
    search_fields = ["instance__slug", "version__name", "error"]
    sort_fields = {
        "id": "id",
        "kind": "kind",
        "status": "status",
        "created_at": "created_at",
        "started_at": "started_at",
        "finished_at": "finished_at",
    }

    def get_queryset(self) -> QuerySet[Operation]:
        found = with_subjects(super().get_queryset())
        if "instance" in get_included_resources(self.request):
            found = found.prefetch_related(Prefetch("instance", with_operations(Instance.objects.all())))
        return found
