from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_json_api.utils import get_included_resources

from instances.api.documents import new_resource
from instances.api.filters import LockFilters
from instances.api.queries import with_operations
from instances.api.serializers.lock import LockSerializer
from instances.api.views.base import WriteView
from instances.models import ActionLock, Instance


class LockView(WriteView):
    """Actions that nobody may ask for on an instance, the system itself neither, each with its reason."""

    resource_name = "locks"
    queryset = ActionLock.objects.all()
    serializer_class = LockSerializer
    filterset_class = LockFilters
    search_fields = ["instance__slug", "instance__domain__domain", "reason"]
    sort_fields = {"id": "id", "action": "action", "locked_at": "locked_at"}

    def get_queryset(self) -> QuerySet[ActionLock]:
        found = super().get_queryset().select_related("locked_by").order_by("-id")
        if "instance" in get_included_resources(self.request):
            return found.prefetch_related(Prefetch("instance", with_operations(Instance.objects.all())))
        return found

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = self.get_serializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        serializer.save(locked_by=request.user)
        found = serializer.data
        return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})
