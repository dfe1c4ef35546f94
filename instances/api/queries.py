"""What is fetched together with a row, so that a list costs the same number of queries whatever its length."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from instances.models import ActionLock, Instance, Operation, OperationStep


def with_subjects(operations: QuerySet[Operation]) -> QuerySet[Operation]:
    """Operations with their steps, versions, hosts and users; one more query."""
    return operations.select_related("version", "host", "requested_by").prefetch_related("steps")


def with_operations(instances: QuerySet[Instance], *, whole: bool = False) -> QuerySet[Instance]:
    """Instances with all that their address is made of, unfinished operation, and locks; three more queries.

    ``whole``: with the output of the operation's steps, which may be long.
    """
    unfinished: QuerySet[Operation] = Operation.objects.unfinished()
    if whole:
        unfinished = with_subjects(unfinished)
    else:
        steps = OperationStep.objects.only("operation_id", "position", "status")
        unfinished = unfinished.prefetch_related(Prefetch("steps", steps))
    return instances.select_related("domain", "host", "version", "projector_logo").prefetch_related(
        Prefetch("operations", unfinished, to_attr="unfinished_operations"),
        Prefetch("locks", ActionLock.objects.select_related("locked_by")),
    )
