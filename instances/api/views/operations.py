from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_json_api.utils import get_included_resources

from instances import operations
from instances.api.documents import changed_resource, new_resource
from instances.api.filters import OperationFilters
from instances.api.permissions import StaffModelPermissions
from instances.api.queries import with_operations, with_subjects
from instances.api.serializers.operation import ASKED_FOR, AskedSerializer, CancelSerializer, OperationSerializer
from instances.api.views.base import ReadView
from instances.choices import OperationKind, Outcome
from instances.models import Instance, Operation


class MayOperate(StaffModelPermissions):
    """Operations are nobody's own: who may change an instance may ask for them, and cancel them."""

    perms_map = {
        **StaffModelPermissions.perms_map,
        "POST": ["instances.change_instance"],
        "PATCH": ["instances.change_instance"],
    }


NEEDS = {OperationKind.REMOVE: "instances.delete_instance", OperationKind.BACKUP: "instances.add_backup"}
"""Permissions besides, by the kind of operation."""


class OperationView(ReadView):
    """What was asked for, and what came of it. The newest comes first."""

    permission_classes = [MayOperate]

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

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = AskedSerializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        kind = OperationKind(values["kind"])
        if kind in NEEDS and not request.user.has_perm(NEEDS[kind]):
            raise PermissionDenied
        asked = replace(self.asked_by(), not_before=values["not_before"])
        subject = (values["instance"], values["osversion"]) if kind == OperationKind.UPDATE else (values["instance"],)
        filed = ASKED_FOR[kind](*subject, asked)  # type: ignore[operator]
        found = self.get_serializer(self.get_queryset().get(pk=filed.pk)).data
        return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """To cancel one, or to let a postponed one begin now. One that is as it is wanted stays so."""
        operation = self.get_object()
        document = changed_resource(request.data, self.resource_name, pk)
        serializer = CancelSerializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data["status"]
        if wanted == Outcome.QUEUED and operation.status != Outcome.QUEUED:
            if not request.user.has_perm(operations.permission_to_begin(operation)):
                raise PermissionDenied
            operations.begin_now(operation)
        elif wanted == Outcome.CANCELLED and operation.status != Outcome.CANCELLED:
            operations.cancel(operation, self.asked_by())
        return Response(self.get_serializer(self.get_object()).data)

    def get_queryset(self) -> QuerySet[Operation]:
        found = with_subjects(super().get_queryset())
        if "instance" in get_included_resources(self.request):
            found = found.prefetch_related(Prefetch("instance", with_operations(Instance.objects.all())))
        return found
