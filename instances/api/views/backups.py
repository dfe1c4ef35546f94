from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpResponseBase
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_json_api.utils import get_included_resources

from instances import audit, backups, downloads, operations
from instances.api.documents import new_resource
from instances.api.filters import BackupFilters
from instances.api.permissions import Needs
from instances.api.queries import with_operations, with_subjects
from instances.api.renderers import AnyFormat
from instances.api.serializers.backup import BackupSerializer, BringBackSerializer, CopySerializer, RestoreSerializer
from instances.api.serializers.instance import InstanceSerializer
from instances.api.serializers.operation import OperationSerializer
from instances.api.views.base import ReadView
from instances.api.views.instances import InstanceView
from instances.models import Backup, Instance, Operation
from instances.operations.archives import refuse_incomplete


class BackupView(ReadView):
    """The backups of all instances, also of removed ones. The newest comes first."""

    resource_name = "backups"
    queryset = Backup.objects.all()
    serializer_class = BackupSerializer
    filterset_class = BackupFilters
    search_fields = ["instance__slug", "instance__domain__domain", "instance__event_name"]
    sort_fields = {
        "id": "id",
        "created_at": "created_at",
        "completed_at": "completed_at",
        "expires_at": "expires_at",
        "verified_at": "verified_at",
        "size": "size",
    }

    def get_queryset(self) -> QuerySet[Backup]:
        unfinished = with_subjects(Operation.objects.filter(finished_at=None))
        found = super().get_queryset().select_related("version", "host", "created_by")
        found = found.prefetch_related(Prefetch("operations", unfinished, to_attr="unfinished_operations"))
        if "instance" in get_included_resources(self.request):
            return found.prefetch_related(Prefetch("instance", with_operations(Instance.objects.all())))
        return found.select_related("instance__domain")

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = self.get_serializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        backup = operations.backup(serializer.validated_data["instance"], self.asked_by()).backup
        assert backup is not None
        found = self.get_serializer(backup).data
        return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> Response:
        backups.delete(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def operation(self, operation: Operation) -> Response:
        """An operation, which has only begun."""
        found = OperationSerializer(operation, context=self.get_serializer_context()).data
        return Response(found, status=status.HTTP_202_ACCEPTED, headers={"Location": found["self_link"]})


class ArchiveView(GenericAPIView[Backup]):
    """The archive itself."""

    queryset = Backup.objects.all()
    permission_classes = [Needs.permission("instances.download_backup")]
    content_negotiation_class = AnyFormat

    def get(self, request: Request, pk: str) -> HttpResponseBase:
        known = pk.isascii() and pk.isdecimal() and len(pk) <= 18
        backup = self.get_queryset().select_related("instance__domain").filter(pk=pk).first() if known else None
        if backup is None:
            raise Http404
        refuse_incomplete(backup)
        answer = downloads.archive_response(backup, request._request)
        if request.method == "GET":
            audit.note(backup, "downloaded", request._request)
        return answer


class RestoreView(BackupView):
    """Puts a backup's data in the place of its instance's present ones."""

    resource_name = "operations"
    permission_classes = [Needs.permission("instances.restore_backup")]

    def restore(self, request: Request, pk: str) -> Response:
        serializer = RestoreSerializer(data=_values(request, "operations"))
        serializer.is_valid(raise_exception=True)
        backup = self.get_object()
        return self.operation(operations.restore(backup, self.asked_by(), safety=serializer.validated_data["safety"]))


class VerifyView(BackupView):
    """Restores a backup into a database that nobody uses, and reads it."""

    resource_name = "operations"
    permission_classes = [Needs.permission("instances.change_backup")]

    def verify(self, request: Request, pk: str) -> Response:
        return self.operation(operations.verify(self.get_object(), self.asked_by()))


class BackupCloneView(BackupView):
    """Makes a new instance of a backup's data."""

    resource_name = "instances"
    permission_classes = [Needs.permission("instances.add_instance", "instances.restore_backup")]

    def clone(self, request: Request, pk: str) -> Response:
        backup = self.get_object()
        instance = _copy(request, backup.instance)
        operations.create(instance, self.asked_by(), backup)
        return _created(instance, self.get_serializer_context())


class InstanceActionView(InstanceView):
    """What is asked for of an instance, removed ones included."""

    queryset = Instance.objects.all()
    resource_name = "operations"

    def operation(self, operation: Operation) -> Response:
        """An operation, which has only begun."""
        found = OperationSerializer(operation, context=self.get_serializer_context()).data
        return Response(found, status=status.HTTP_202_ACCEPTED, headers={"Location": found["self_link"]})


class CloneView(InstanceActionView):
    """Makes a new instance of an instance's present data."""

    resource_name = "instances"
    permission_classes = [Needs.permission("instances.add_instance", "instances.restore_backup")]

    def clone(self, request: Request, pk: str) -> Response:
        source = self.get_object()
        instance = _copy(request, source)
        operations.clone(source, instance, self.asked_by())
        return _created(instance, self.get_serializer_context())


class BringBackView(InstanceActionView):
    """Makes a removed instance again, under its name."""

    permission_classes = [Needs.permission("instances.add_instance", "instances.restore_backup")]

    def bring_back(self, request: Request, pk: str) -> Response:
        instance = self.get_object()
        serializer = BringBackSerializer(instance, data=_values(request, "instances"))
        serializer.is_valid(raise_exception=True)
        backup = serializer.validated_data.get("backup")
        return self.operation(operations.bring_back(instance, self.asked_by(), backup))


class PurgeView(InstanceActionView):
    """Removes an instance at once, with all its backups."""

    permission_classes = [Needs.permission("instances.delete_instance", "instances.purge_instance")]

    def purge(self, request: Request, pk: str) -> Response:
        return self.operation(operations.purge(self.get_object(), self.asked_by()))


def _values(request: Request, kind: str) -> dict[str, Any]:
    """What a document says, where one need not be sent. Raises Malformed, Conflict."""
    if not request.data:
        return {}
    return new_resource(request.data, kind).fields


def _copy(request: Request, source: Instance) -> Instance:
    """Raises Malformed, Conflict, ValidationError."""
    serializer = CopySerializer(data=new_resource(request.data, "instances").fields)
    serializer.is_valid(raise_exception=True)
    return serializer.new_instance(source)


def _created(instance: Instance, context: Mapping[str, Any]) -> Response:
    found = InstanceSerializer(instance, context=dict(context)).data
    return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})
