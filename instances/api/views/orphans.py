from __future__ import annotations

from typing import cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from instances import orphans
from instances.api.filters import OrphanFilters
from instances.api.serializers.orphan import OrphanSerializer
from instances.api.views.base import ReadView
from instances.models import Orphan


class OrphanView(ReadView):
    """What hosts and the backup store have and no instance owns."""

    resource_name = "orphans"
    queryset = Orphan.objects.all()
    serializer_class = OrphanSerializer
    filterset_class = OrphanFilters
    search_fields = ["name"]
    sort_fields = {"id": "id", "name": "name", "kind": "kind", "first_seen_at": "first_seen_at"}

    def get_queryset(self) -> QuerySet[Orphan]:
        return orphans.named(super().get_queryset().select_related("host", "removal_asked_by"))

    def destroy(self, request: Request, pk: str) -> Response:
        """Its host removes it; until then it is here."""
        orphan = self.get_object()
        orphans.ask_removal([orphan], cast(User, request.user))
        return Response(self.get_serializer(orphan).data, status=status.HTTP_202_ACCEPTED)
