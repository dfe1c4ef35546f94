"""The periodic look at a host: read all states, write what changed, file what is missing, take up what was left.

One call to the host and two queries (and one more for each row that changed), whatever the number of instances.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from deployers.errors import ServiceManagerUnreachable
from deployers.states import UnitState
from instances import claims, messages, operations, states
from instances.choices import Desired, State
from instances.deployment import deployer_for
from instances.errors import OperationRefused
from instances.models import Host, Instance, Operation

logger = logging.getLogger(__name__)

SEEN_PRECISION = timedelta(seconds=15)
"""``last_seen`` is written only when it is older than this."""


def look_after(host: Host) -> None:
    """Bring the rows up to date with the host, and the host with the rows.

    The rows are read before the host: an operation that begins in between can make a row look older than the
    host's answer, never newer, and the guarded writes then change nothing.
    """
    take_up(host)
    rows = list(
        Instance.objects.present()
        .filter(host=host)
        .with_operation()
        .only("id", "observed_state", "desired_state", "failure", "installed_at", "host_id")
    )
    try:
        units = deployer_for(host.kind).states()
    except ServiceManagerUnreachable as error:
        logger.warning("Host %s: %s", host, error)
        return
    for row in rows:
        unit = units.get(row.id, UnitState.STOPPED)
        operation: str | None = row.operation_kind  # type: ignore[attr-defined]
        write_state(row, operation, unit)
        if operation is None and is_missing(row, unit):
            reconcile(row)
    # Last: a host that was silent becomes known again with the states that it has now.
    if host.last_seen is None or timezone.now() - host.last_seen > SEEN_PRECISION:
        Host.objects.filter(pk=host.pk).update(last_seen=timezone.now())


def write_state(row: Instance, operation: str | None, unit: UnitState) -> None:
    """Write the observed state if it is another one now.

    supervisord calls a process "starting" for its first second, also when it answers already, and one that it started
    again by itself: neither is a step back from active.
    """
    if unit == UnitState.STARTING and row.observed_state == State.ACTIVE:
        unit = UnitState.RUNNING
    state = states.observed(row.facts(operation), unit)
    if state != row.observed_state:
        Instance.objects.filter(pk=row.pk, observed_state=row.observed_state).update(
            observed_state=state, state_since=timezone.now()
        )


def is_missing(row: Instance, unit: UnitState) -> bool:
    """Whether an instance without an unfinished operation is not as it is wanted.

    One whose last operation failed is left to the operator, and so is one whose service fails again and again
    (the service manager has tried already): filing the same again would be an endless loop.
    """
    if not row.is_installed or row.failure:
        return False
    if row.desired_state == Desired.ACTIVE:
        return unit == UnitState.STOPPED
    return unit in (UnitState.RUNNING, UnitState.STARTING, UnitState.LISTENING)


def reconcile(row: Instance) -> None:
    """File what is missing, unless somebody asked for something else since the row was read."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update().select_related("host", "version", "domain").get(pk=row.pk)
        if (instance.desired_state, instance.failure) != (row.desired_state, row.failure):
            return
        try:
            if instance.removed_at is not None:
                return
            if instance.desired_state == Desired.ACTIVE:
                operations.start(instance, operations.SYSTEM)
            elif instance.desired_state == Desired.STOPPED:
                operations.stop(instance, operations.SYSTEM)
            else:
                operations.remove(instance, operations.SYSTEM)
        except OperationRefused as refused:
            logger.info("Reconcile of %s: %s", instance, refused)


def take_up(host: Host) -> None:
    """Send the operations again whose worker is gone or whose message was lost. Two queries when there are none."""
    for operation in claims.interrupted(host.pk):
        logger.warning("Operation %s: its worker is gone; it is taken up again.", operation.pk)
        messages.run(operation)
    overdue = timezone.now() - timedelta(seconds=10)
    waiting = Operation.objects.claimable().filter(host=host, created_at__lt=overdue).select_related("host")
    for operation in waiting.order_by("id")[: claims.free_places(host.pk)]:
        messages.run(operation)
