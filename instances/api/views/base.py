"""What all views of the API have in common."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from instances import operations
from instances.api.documents import changed_resource, new_resource
from instances.api.filters import check_parameters
from instances.api.permissions import IsStaff
from instances.choices import Origin

API_ROUTES = {
    "instances": "api:instance-list",
    "osversions": "api:version-list",
    "osdomains": "api:domain-list",
    "operations": "api:operation-list",
    "rollouts": "api:rollout-list",
    "backups": "api:backup-list",
    "locks": "api:lock-list",
    "orphans": "api:orphan-list",
    "audit": "api:audit-list",
    "hosts": "api:host-list",
    "blobs": "api:blob-list",
}


class ReadView(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]):
    """Lists and shows resources.

    ``resource_name``: their type. ``sort_fields``: what ``sort`` takes, API name to model field.
    """

    resource_name: str
    sort_fields: dict[str, str] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_parameters(request, self.serializer_class)

    def get_object(self) -> Any:
        # Filters are for lists; a resource has its address whatever stands behind the question mark.
        return self.find(self.get_queryset(), self.kwargs["pk"])

    def find(self, queryset: Any, identity: str) -> Any:
        """Raises Http404, also for what cannot be an id."""
        # No longer than the column: SQLite cannot even compare with a longer number.
        known = identity.isascii() and identity.isdecimal() and len(identity) <= 18
        found = queryset.filter(pk=int(identity)).first() if known else None
        if found is None:
            raise Http404
        self.check_object_permissions(self.request, found)
        return found

    def asked_by(self) -> operations.Request:
        """Who asks, for the operation's row."""
        return operations.Request(via=Origin.API, user=cast(User, self.request.user))


class WriteView(ReadView):
    """Makes, changes and deletes resources that are just rows."""

    def create(self, request: Request, **kwargs: Any) -> Response:
        document = new_resource(request.data, self.resource_name)
        serializer = self.get_serializer(data=document.fields)
        serializer.is_valid(raise_exception=True)
        self.saved(serializer.save())
        return Response(
            serializer.data, status=status.HTTP_201_CREATED, headers={"Location": serializer.data["self_link"]}
        )

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        row = self.get_object()
        document = changed_resource(request.data, self.resource_name, pk)
        serializer = self.get_serializer(row, data=document.fields, partial=True)
        serializer.is_valid(raise_exception=True)
        self.saved(serializer.save())
        return Response(serializer.data)

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> Response:
        with transaction.atomic():
            self.delete_row(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def saved(self, row: Any) -> None:
        """What follows from a row that was added or changed."""

    def delete_row(self, row: Any) -> None:
        row.delete()


class APIRoot(APIView):
    """Where to find what. (JSON:API's renderer knows the view of the links by this class's name.)"""

    permission_classes = [IsStaff]

    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response({name: reverse(route, request=request) for name, route in API_ROUTES.items()})


class NotFoundView(APIView):
    """Every address under /api/ that is none: the answer is JSON:API, too."""

    permission_classes = [IsStaff]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404
