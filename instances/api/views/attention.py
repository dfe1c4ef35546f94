from __future__ import annotations

from django.db import transaction
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from instances import operations
from instances.api.permissions import IsStaff
from instances.api.views.backups import InstanceActionView


class TryAgainView(InstanceActionView):
    """Tries at once what the system has tried in vain."""

    permission_classes = [IsStaff]

    def try_again(self, request: Request, pk: str) -> Response:
        if not any(request.user.has_perm(f"instances.{way}_instance") for way in ("change", "delete")):
            # Said before it is known whether there is such an instance.
            raise PermissionDenied
        with transaction.atomic():
            instance = self.locked(pk)
            if not request.user.has_perm(operations.permission_to_try_again(instance)):
                raise PermissionDenied
            return self.operation(operations.try_again(instance, self.asked_by()))
