from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_json_api.utils import get_included_resources

from instances import operations
from instances.api.changes import apply, read_changes
from instances.api.documents import changed_resource, new_resource
from instances.api.filters import InstanceFilters
from instances.api.queries import with_operations
from instances.api.serializers.instance import InstanceSerializer
from instances.api.views.base import ReadView
from instances.choices import OperationKind
from instances.errors import OperationRunning
from instances.models import Instance


class InstanceView(ReadView):
    """The instances that are not removed. What is done to one is an operation, which has only begun with the answer."""

    resource_name = "instances"
    queryset = Instance.objects.present()
    serializer_class = InstanceSerializer
    filterset_class = InstanceFilters
    search_fields = ["slug", "event_name", "event_organizer", "domain__domain"]
    sort_fields = {
        "slug": "slug",
        "parent_domain": "domain__domain",
        "event_name": "event_name",
        "event_date": "event_date",
        "state": "observed_state",
        "osversion": "version__name",
        "created_date": "created_at",
        "created_at": "created_at",
    }

    def get_queryset(self) -> QuerySet[Instance]:
        return with_operations(super().get_queryset(), whole="operation" in get_included_resources(self.request))

    def find(self, queryset: Any, identity: str) -> Instance:
        # NUL: PostgreSQL refuses to compare with it.
        found: Instance | None = queryset.filter(pk=identity).first() if identity.isalnum() else None
        if found is None:
            raise Http404
        return found

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = self.get_serializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        instance = Instance(**serializer.validated_data)
        operations.create(instance, self.asked_by())
        found = self.get_serializer(instance).data
        return Response(found, status=status.HTTP_201_CREATED, headers={"Location": found["self_link"]})

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        with transaction.atomic():
            instance = self.locked(pk)
            document = changed_resource(request.data, self.resource_name, pk)
            changes = read_changes(instance, document, self.get_serializer(instance).data)
            apply(instance, changes, self.asked_by())
        context = {**self.get_serializer_context(), "ignored": changes.ignored}
        return Response(InstanceSerializer(self.get_object(), context=context).data)

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Asking again while it is being removed is no error: it is done already."""
        with transaction.atomic():
            try:
                operations.remove(self.locked(pk), self.asked_by())
            except OperationRunning as refused:
                if refused.running.kind != OperationKind.REMOVE:
                    raise
        return Response(status=status.HTTP_204_NO_CONTENT)

    def locked(self, identity: str) -> Instance:
        """The instance, whose row nobody else changes until the transaction ends. Raises Http404."""
        return self.find(self.get_queryset().select_for_update(of=("self",), no_key=True), identity)
