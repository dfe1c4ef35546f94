"""The periodic look at a host: read all states, write what changed, file what is missing, take up what was left.

One call to the host and a handful of queries (and three more for each state that changed), whatever the number of
instances. An instance with a lock is left alone: somebody is at work on it.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from deployers.errors import ServiceManagerUnreachable
from deployers.states import UnitState
from instances import claims, healing, history, messages, operations, states, use
from instances.deployment import deployer_for
from instances.models import ActionLock, Host, Instance, Operation

logger = logging.getLogger(__name__)

SEEN_PRECISION = timedelta(seconds=15)
"""``last_seen`` is written only when it is older than this."""
MESSAGE_SECONDS = timedelta(seconds=10)
"""So long an operation's message may be on its way; afterwards it counts as lost."""


def look_after(host: Host) -> None:
    """Bring the rows up to date with the host, and the host with the rows.

    The rows are read before the host: an operation that begins in between can make a row look older than the
    host's answer, never newer, and the guarded writes then change nothing.
    """
    take_up(host)
    operations.begin_due(host)
    rows = list(
        Instance.objects.present()
        .filter(host=host)
        .with_operation()
        .only(
            "id",
            "observed_state",
            "state_since",
            "last_used_at",
            "desired_state",
            "failure",
            "installed_at",
            "host_id",
            "retries",
            "retry_at",
            "attention",
        )
    )
    locked = set(ActionLock.objects.filter(instance__host=host).values_list("instance_id", flat=True))
    try:
        deployer = deployer_for(host.kind)
        units = deployer.states()
    except ServiceManagerUnreachable as error:
        logger.warning("Host %s: %s", host, error)
        return
    history.note_silence(host, rows)
    use.note(rows, deployer.connections(), units)
    for row in rows:
        unit = units.get(row.id, UnitState.STOPPED)
        operation: str | None = row.operation_kind  # type: ignore[attr-defined]
        write_state(row, operation, unit)
        if operation is not None:
            continue
        if not healing.is_missing(row, unit):
            healing.forget_tries(row)
        elif row.pk not in locked:
            healing.mend(row, unit)
    # Last: a host that was silent becomes known again with the states that it has now.
    if host.last_seen is None or abs(timezone.now() - host.last_seen) > SEEN_PRECISION:
        Host.objects.filter(pk=host.pk).update(last_seen=timezone.now())


def write_state(row: Instance, operation: str | None, unit: UnitState) -> None:
    """Write the observed state if it is another one now."""
    state = states.observed(row.facts(operation), states.since(row.observed_state, unit))
    history.change_state(row, state)


def take_up(host: Host) -> None:
    """Send the operations again whose worker is gone or whose message was lost. Two queries when there are none."""
    for operation in claims.interrupted(host.pk):
        logger.warning("Operation %s: its worker is gone; it is taken up again.", operation.pk)
        messages.run(operation)
    now = timezone.now()
    # Not asked for just now: long ago, or, where the clock was set back since, in a time to come.
    just_now = (now - MESSAGE_SECONDS, now + MESSAGE_SECONDS)
    waiting = Operation.objects.claimable().filter(host=host).exclude(created_at__range=just_now).select_related("host")
    for operation in waiting.order_by("id")[: claims.free_places(host.pk)]:
        messages.run(operation)
