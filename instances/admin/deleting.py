"""Deleting in the admin, where operations are history that goes along, unless one of them is not finished."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from instances.admin.base import ModelAdmin
from instances.models import Operation
from instances.models.operation import OperationQuerySet


class DeletesHistory(ModelAdmin[Any]):
    """For what operations point to. Nobody has the permission to delete operations by themselves."""

    def operations_of(self, rows: Iterable[Any]) -> OperationQuerySet:
        raise NotImplementedError

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        rows = list(objs)
        deleted, counts, lacking, protected = super().get_deleted_objects(rows, request)
        lacking = set(lacking) - {Operation._meta.verbose_name}
        # A postponed one, too, would go along without a word.
        running = self.operations_of(rows).filter(finished_at=None).select_related("instance__domain", "version")
        protected = [*protected, *(_("%(operation)s (not finished)") % {"operation": o} for o in running)]
        return deleted, counts, lacking, protected

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ProtectedError:
            # Between the check and the deletion somebody began to use it.
            messages.error(request, _("It is used since a moment ago and was not deleted."))
            return HttpResponseRedirect(request.path)
