"""How an operation on an instance is filed, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployers.states import UnitState
from instances import history, messages, states
from instances.choices import LOCKABLE, Desired, OperationKind, Origin, Outcome
from instances.errors import (
    ActionLocked,
    AlreadyPostponed,
    InstanceRemoved,
    NotInstalled,
    OperationRunning,
    VersionRefused,
)
from instances.models import ActionLock, Backup, Instance, Operation, Version

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, by which way, and whether it shall wait until a time."""

    via: Origin = Origin.SYSTEM
    user: User | None = None
    not_before: datetime | None = None

    @property
    def is_postponed(self) -> bool:
        return self.not_before is not None and self.not_before > timezone.now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What an operation needs besides its kind; each is the field of the same name."""

    version: Version | None = None
    waits_for: Operation | None = None
    backup: Backup | None = None
    from_backup: bool = False
    safety_backup: Backup | None = None
    recipient: str = ""


SYSTEM = Request()
NO_DETAILS = Details()

DESIRED = {
    OperationKind.CREATE: Desired.ACTIVE,
    OperationKind.START: Desired.ACTIVE,
    OperationKind.STOP: Desired.STOPPED,
    OperationKind.REMOVE: Desired.REMOVED,
    OperationKind.PURGE: Desired.REMOVED,
}
"""What is wanted from the beginning of an operation on; the other kinds leave that as it is."""

_SEEN_AT_ONCE = (
    OperationKind.CREATE,
    OperationKind.START,
    OperationKind.UPDATE,
    OperationKind.RESTORE,
    OperationKind.REMOVE,
    OperationKind.PURGE,
)


def file(kind: OperationKind, instance: Instance, request: Request, details: Details = NO_DETAILS) -> Operation:
    """Write the operation's row, and what is wanted from now on; a postponed one changes nothing yet.

    Raises OperationRunning, ActionLocked, AlreadyPostponed, InstanceRemoved.
    """
    refuse_locked(kind, instance)
    with transaction.atomic():
        held = Instance.objects.hold(instance.pk)
        if held is None or (held.removed_at is not None and instance.removed_at is None):
            raise InstanceRemoved(instance)
        operation = Operation(
            kind=kind,
            instance=instance,
            host=instance.host,
            version=details.version,
            waits_for=details.waits_for,
            backup=details.backup,
            from_backup=details.from_backup,
            safety_backup=details.safety_backup,
            recipient=details.recipient,
            not_before=request.not_before,
            requested_by=request.user,
            requested_via=request.via,
        )
        if request.is_postponed:
            operation.status = Outcome.POSTPONED
            _insert(operation)
        else:
            operation.previous_desired = held.desired_state
            _insert(operation)
            begin(operation, instance)
        if request.via != Origin.SYSTEM and (instance.retries or instance.attention or instance.retry_at):
            # Somebody looks after it: what was tried in vain before does not count any more.
            instance.retries, instance.retry_at, instance.attention = 0, None, ""
            instance.save(update_fields=["retries", "retry_at", "attention"])
        return operation


def begin(operation: Operation, instance: Instance) -> None:
    """Write what is wanted from now on, and send the task (after the commit) unless it waits for another."""
    kind, wanted = OperationKind(operation.kind), instance.desired_state
    if kind in DESIRED:
        instance.desired_state = DESIRED[kind]
        instance.save(update_fields=["desired_state"])
    if kind in (OperationKind.REMOVE, OperationKind.PURGE):
        _cancel_postponed(instance)
    seen = kind in _SEEN_AT_ONCE and history.change_state(
        instance, states.observed(instance.facts(kind), UnitState.STOPPED)
    )
    if not seen and instance.desired_state != wanted:
        history.note_wanted(instance)
    if operation.waits_for is None or operation.waits_for.is_finished:
        messages.run(operation)


def _insert(operation: Operation) -> None:
    """Raises OperationRunning, AlreadyPostponed."""
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
    except IntegrityError:
        others = Operation.objects.filter(instance=operation.instance)
        if operation.status == Outcome.POSTPONED:
            postponed = others.filter(status=Outcome.POSTPONED, kind=operation.kind).first()
            if postponed is None:
                raise
            raise AlreadyPostponed(postponed) from None
        running = others.unfinished().first()
        if running is None:
            raise
        raise OperationRunning(running) from None


def _cancel_postponed(instance: Instance) -> None:
    Operation.objects.filter(instance=instance, status=Outcome.POSTPONED).update(
        status=Outcome.CANCELLED, finished_at=timezone.now(), error=_("The instance is being removed.")
    )


def refuse_locked(kind: OperationKind, instance: Instance) -> None:
    """Raises ActionLocked. A purge is a removal."""
    action = OperationKind.REMOVE if kind == OperationKind.PURGE else kind
    if action in LOCKABLE:
        lock = ActionLock.objects.filter(instance=instance, action=action).first()
        if lock is not None:
            raise ActionLocked(lock)


def refuse_removed(instance: Instance) -> None:
    """Raises InstanceRemoved."""
    if instance.removed_at is not None:
        raise InstanceRemoved(instance)


def refuse_not_installed(instance: Instance) -> None:
    """Raises OperationRunning, NotInstalled, InstanceRemoved."""
    refuse_removed(instance)
    if not instance.is_installed:
        running = instance.unfinished_operation
        if running is not None:
            raise OperationRunning(running)
        raise NotInstalled(instance)


def refuse_unusable(version: Version) -> None:
    """Raises VersionRefused."""
    if not version.enabled:
        raise VersionRefused(version, _("This version is not enabled. Enable it, or choose another."))
