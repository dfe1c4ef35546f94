from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from instances import rollouts
from instances.api.documents import changed_resource, new_resource
from instances.api.filters import RolloutFilters
from instances.api.permissions import StaffModelPermissions
from instances.api.serializers.rollout import (
    BeginSerializer,
    ChangeSerializer,
    RolloutSerializer,
    WholeRolloutSerializer,
)
from instances.api.views.base import ReadView
from instances.choices import RolloutStatus
from instances.models import Rollout, RolloutItem


class MayRollOut(StaffModelPermissions):
    """Who begins one, or goes on with it, changes instances."""

    perms_map = {
        **StaffModelPermissions.perms_map,
        "POST": ["%(app_label)s.add_%(model_name)s", "instances.change_instance"],
        "PATCH": ["%(app_label)s.change_%(model_name)s", "instances.change_instance"],
    }


class RolloutView(ReadView):
    """Updates of many instances, in waves. The newest comes first; lists are without the single instances."""

    resource_name = "rollouts"
    queryset = Rollout.objects.all()
    serializer_class = RolloutSerializer
    permission_classes = [MayRollOut]
    filterset_class = RolloutFilters
    search_fields = ["version__name", "reason"]
    sort_fields = {
        "id": "id",
        "status": "status",
        "created_at": "created_at",
        "finished_at": "finished_at",
    }

    def get_queryset(self) -> QuerySet[Rollout]:
        found = rollouts.with_counts(super().get_queryset()).select_related("version", "requested_by").order_by("-id")
        if self.action == "list":
            return found
        items = RolloutItem.objects.select_related("instance__domain").order_by("wave", "id")
        return found.prefetch_related(Prefetch("items", items))

    def get_serializer_class(self) -> Any:
        return RolloutSerializer if self.action == "list" else WholeRolloutSerializer

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = BeginSerializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        begun = rollouts.begin(
            values["osversion"],
            values["instances"],
            self.asked_by(),
            waves=values["waves"],
            failure_percent=values["failure_percent"],
            not_before=values["not_before"],
        )
        found = self.get_serializer(self.get_queryset().get(pk=begun.pk)).data
        return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """The status that it has already is no change, unless what failed shall be tried again."""
        rollout = self.get_object()
        document = changed_resource(request.data, self.resource_name, pk)
        serializer = ChangeSerializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        wanted, retry_failed = serializer.validated_data["status"], serializer.validated_data["retry_failed"]
        if wanted != rollout.status or retry_failed:
            if wanted == RolloutStatus.CANCELLED:
                rollouts.cancel(rollout, self.asked_by())
            else:
                rollouts.resume(rollout, retry_failed=retry_failed)
        return Response(self.get_serializer(self.get_object()).data)
