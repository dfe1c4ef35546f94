"""What is missing on a host, and how often it is tried to mend it before a person must look.

A try is an operation that the system files by itself. After each the next one waits longer; after the last the
instance "needs attention", which says why, until somebody asks for something. What was tried does not count any more
when the instance has been well for a while: one that starts, and dies again and again, is not well.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployers.states import UnitState
from instances import operations
from instances.choices import Desired, OperationKind
from instances.errors import OperationRefused
from instances.models import Instance, Operation

logger = logging.getLogger(__name__)

DELAYS = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300, 600))
"""From one try to the next. The first comes at once, where nothing has failed yet."""
WELL_AFTER = timedelta(minutes=10)


def is_missing(row: Instance, unit: UnitState) -> bool:
    """Whether an installed instance without an unfinished operation is not as it is wanted."""
    if not row.is_installed:
        return row.desired_state == Desired.REMOVED and row.failure in (OperationKind.REMOVE, OperationKind.PURGE)
    if row.desired_state == Desired.ACTIVE:
        return unit in (UnitState.STOPPED, UnitState.FAILED)
    if row.desired_state == Desired.REMOVED:
        return True
    # A stop that failed may have left something of it, though the service has ended.
    return row.failure == OperationKind.STOP or unit in (UnitState.RUNNING, UnitState.STARTING, UnitState.LISTENING)


def mend(row: Instance, unit: UnitState) -> None:
    """File what is missing, if it is time for another try.

    The row is read again and locked, so that nothing is filed against what somebody asked for in the meantime.
    """
    now = timezone.now()
    if row.attention or (row.retry_at is not None and row.retry_at > now):
        return
    with transaction.atomic():
        Instance.objects.hold(row.pk)
        instance = Instance.objects.select_related("host", "version", "domain").get(pk=row.pk)
        seen, read = ((i.desired_state, i.failure, i.retries, i.retry_at) for i in (row, instance))
        if seen != read or instance.removed_at is not None:
            return
        if instance.retry_at is None and (instance.failure or unit == UnitState.FAILED):
            # Something has failed just now, and its reason may still be there.
            _write(instance, retry_at=now + DELAYS[0])
            return
        if instance.retries >= len(DELAYS):
            _give_up(instance)
            return
        _write(instance, retries=instance.retries + 1, retry_at=now + DELAYS[instance.retries])
        try:
            _file(instance)
        except OperationRefused as refused:
            logger.info("%s is not as it is wanted: %s", instance, refused)


def forget_tries(row: Instance) -> None:
    """An instance that has been as it is wanted for a while is well again. No query for one that always was."""
    if not row.retries and row.retry_at is None and not row.attention:
        return
    if row.state_since is None or timezone.now() - row.state_since > WELL_AFTER:
        _write(row, retries=0, retry_at=None, attention="")


def _file(instance: Instance) -> None:
    """Raises OperationRefused."""
    if instance.desired_state == Desired.ACTIVE:
        operations.start(instance, operations.SYSTEM)
    elif instance.desired_state == Desired.STOPPED:
        operations.stop(instance, operations.SYSTEM)
    elif instance.failure == OperationKind.PURGE:
        # A removal in its place would keep what shall go.
        operations.purge(instance, operations.SYSTEM)
    else:
        operations.remove(instance, operations.SYSTEM)


def _give_up(instance: Instance) -> None:
    last = Operation.objects.filter(instance=instance).exclude(error="").first()
    reason = last.error if last is not None and instance.failure else _("Its service ended again and again.")
    _write(
        instance,
        attention=_("%(count)s tries were in vain. The last reason: %(reason)s")
        % {"count": instance.retries, "reason": reason},
    )
    logger.error("%s needs attention: %s", instance, instance.attention)


def _write(instance: Instance, **values: object) -> None:
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=list(values))
