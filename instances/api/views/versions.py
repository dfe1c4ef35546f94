from __future__ import annotations

from django.db.models import ProtectedError
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from instances import operations
from instances.api.errors import Conflict
from instances.api.filters import VersionFilters
from instances.api.permissions import MayChange
from instances.api.serializers.operation import OperationSerializer
from instances.api.serializers.version import VersionSerializer
from instances.api.views.base import WriteView
from instances.errors import OperationRunning
from instances.models import Operation, Version
from instances.models.rollout import UNENDED


class VersionView(WriteView):
    """The versions of OpenSlides that instances may run."""

    resource_name = "osversions"
    queryset = Version.objects.all()
    serializer_class = VersionSerializer
    filterset_class = VersionFilters
    search_fields = ["name", "image"]
    sort_fields = {"name": "name", "image": "image", "prepared_at": "prepared_at"}

    def delete_row(self, row: Version) -> None:
        # A postponed one would go along without a word.
        running = Operation.objects.filter(version=row, finished_at=None).first()
        if running is not None:
            raise OperationRunning(running)
        if row.rollouts.filter(status__in=UNENDED).exists():
            raise Conflict(_("Instances are being updated to this version. Cancel that update of many first."))
        try:
            # Django takes the key from an object that was deleted, not what else is in it.
            row.delete()
            operations.discard(row)
        except ProtectedError:
            raise Conflict(
                _("Instances have this version (removed ones count); it stays on record. Set enabled to false instead.")
            ) from None


class PrepareView(VersionView):
    """Preparing a version: answers the operation, which has only begun."""

    resource_name = "operations"
    permission_classes = [MayChange]

    def prepare(self, request: Request, pk: str) -> Response:
        operation = operations.prepare(self.get_object(), self.asked_by())
        found = OperationSerializer(operation, context=self.get_serializer_context()).data
        return Response(found, status=status.HTTP_202_ACCEPTED, headers={"Location": found["self_link"]})
