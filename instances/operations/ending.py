"""The end of an operation before its end, and the beginning of a postponed one."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from deployers.states import UnitState
from instances import audit, history, states
from instances.choices import Desired, OperationKind, Outcome, Preparation, State
from instances.errors import (
    AlreadyInstalled,
    BackupInUse,
    CannotCancel,
    NotPostponed,
    OperationRefused,
    OperationRunning,
)
from instances.models import Backup, Host, Instance, Operation, Version
from instances.operations.archives import refuse_needed
from instances.operations.filing import SYSTEM, Request, begin, refuse_locked, refuse_not_installed, refuse_removed
from instances.operations.life import check_update
from instances.operations.versions import preparation

logger = logging.getLogger(__name__)

_PERMISSIONS = {
    OperationKind.REMOVE: "instances.delete_instance",
    OperationKind.PURGE: "instances.purge_instance",
    OperationKind.BACKUP: "instances.add_backup",
    OperationKind.RESTORE: "instances.restore_backup",
}
"""What who lets a postponed operation begin must have; for the other kinds it is the permission to change."""


def cancel(operation: Operation, request: Request) -> Operation:
    """Cancel an operation: at once where it has not begun, otherwise a worker ends what it does and undoes it.

    One that waits may have begun: it was given back, and waits for the next worker. That one undoes it.

    The one who asked for it is in the log of the instance. Raises CannotCancel.
    """
    with transaction.atomic():
        Instance.objects.hold(operation.instance_id)
        if _end_unbegun(operation, said_by(request)):
            return operation
    asked = (
        Operation.objects.unfinished()
        .filter(pk=operation.pk, is_final=False, cancel_asked_at=None)
        .update(cancel_asked_at=timezone.now(), error=said_by(request))
    )
    operation.refresh_from_db()
    if asked:
        audit.note(operation, "cancellation asked for")
    if asked or (not operation.is_finished and operation.cancel_asked_at is not None):
        return operation
    if operation.is_finished:
        raise CannotCancel(operation, _("The operation has ended already."))
    raise CannotCancel(operation, _("There is no way back from where it is. Wait until it has ended."))


def said_by(request: Request) -> str:
    """Why an operation ended, when it was cancelled."""
    if request.user is None:
        return _("Cancelled.")
    return _("Cancelled by %(user)s.") % {"user": request.user}


def _end_unbegun(operation: Operation, error: str) -> bool:
    """Cancel it where no step of it has begun; whether that was so. In a transaction that holds its instance.

    Each is one guarded UPDATE: a worker that claims it at the same time wins or loses, and so does its beginning, if it
    is postponed. What the row says now decides, and not what the caller has read of it.
    """
    unbegun = Operation.objects.filter(pk=operation.pk, reached=0)
    ended = {"status": Outcome.CANCELLED, "finished_at": timezone.now(), "error": error}
    if unbegun.filter(status=Outcome.POSTPONED).update(**ended):
        operation.refresh_from_db()
        audit.note(operation, "cancelled")
        discard_backups(operation)
    elif unbegun.filter(status=Outcome.QUEUED).update(**ended):
        operation.refresh_from_db()
        audit.note(operation, "cancelled")
        take_back(operation)
    else:
        return False
    return True


def take_back(operation: Operation) -> None:
    """What follows from an operation that was cancelled: what was wanted before it is wanted again."""
    discard_backups(operation)
    if operation.kind == OperationKind.PREPARE:
        Version.objects.filter(operations=operation, preparation=Preparation.PREPARING).update(
            preparation=Preparation.NONE
        )
    for waiting in Operation.objects.filter(waits_for=operation, status=Outcome.QUEUED):
        _end_waiting(waiting, operation)
    if operation.instance_id is None:
        return
    instance = Instance.objects.get(pk=operation.instance_id)
    if operation.previous_desired and operation.previous_desired != instance.desired_state:
        instance.desired_state = Desired(operation.previous_desired)
        instance.save(update_fields=["desired_state"])
        history.note_wanted(instance)
    if instance.removed_at is not None:
        # No look comes by any more.
        history.change_state(instance, State.STOPPED)
    elif not instance.is_installed:
        history.change_state(instance, states.observed(instance.facts(None), UnitState.STOPPED))


def _end_waiting(waiting: Operation, cancelled: Operation) -> None:
    """What waited for a cancelled operation is cancelled, too."""
    text = _("Operation %(id)s (%(what)s), which it waited for, was cancelled.") % {
        "id": cancelled.pk,
        "what": cancelled,
    }
    Instance.objects.hold(waiting.instance_id)
    _end_unbegun(waiting, text)


def discard_backups(operation: Operation) -> None:
    """The rows of the archives that an operation was to make and did not."""
    Backup.objects.filter(_made_by(operation), completed_at=None).delete()


def _made_by(operation: Operation) -> Q:
    """The backups that it makes, not the one that it starts from."""
    made = [operation.safety_backup_id]
    if operation.kind == OperationKind.BACKUP:
        made.append(operation.backup_id)
    return Q(pk__in=[number for number in made if number is not None])


def begin_due(host: Host) -> None:
    """Let the host's postponed operations begin whose time has come; one query when there are none.

    One whose instance is busy begins when it is not; one that makes no sense any more fails, and says why.
    """
    due = Operation.objects.filter(host=host, status=Outcome.POSTPONED, not_before__lte=timezone.now())
    for operation in due.select_related("instance__host", "instance__version", "instance__domain", "version"):
        assert operation.instance is not None
        try:
            _begin(operation)
        except (OperationRunning, BackupInUse) as busy:
            logger.info("Operation %s is due, and waits: %s", operation.pk, busy)
        except OperationRefused as refused:
            logger.warning("Operation %s was postponed, and cannot begin: %s", operation.pk, refused)
            Operation.objects.filter(pk=operation.pk, status=Outcome.POSTPONED).update(
                status=Outcome.FAILED, finished_at=timezone.now(), error=str(refused)
            )
            discard_backups(operation)


def begin_now(operation: Operation) -> Operation:
    """Let a postponed operation begin before its time.

    Raises NotPostponed, OperationRunning (another one of its instance), ActionLocked, NotInstalled, InstanceRemoved.
    """
    if operation.status != Outcome.POSTPONED or not _begin(operation):
        raise NotPostponed(operation)
    audit.note(operation, "begun before its time")
    return operation


def permission_to_begin(operation: Operation) -> str:
    """Of who lets it begin now."""
    return _PERMISSIONS.get(OperationKind(operation.kind), "instances.change_instance")


def _begin(operation: Operation) -> bool:
    """Whether it was still postponed. Raises OperationRefused; OperationRunning where it has to wait for another.

    What was checked when it was filed is checked again: since then the instance may have become another one.
    """
    assert operation.instance_id is not None
    try:
        with transaction.atomic():
            # Before the instance is held: whoever files an update takes the two rows in this order.
            waits_for = _preparation_of(operation)
            instance = Instance.objects.hold(operation.instance_id)
            assert instance is not None
            _refuse_to_begin(operation, instance)
            begun = Operation.objects.filter(pk=operation.pk, status=Outcome.POSTPONED).update(
                status=Outcome.QUEUED, previous_desired=instance.desired_state, waits_for=waits_for
            )
            if begun:
                operation.refresh_from_db(fields=["status", "previous_desired", "waits_for"])
                operation.instance = instance
                _describe_backups(operation, instance)
                begin(operation, instance)
        return begun == 1
    except IntegrityError:
        running = Operation.objects.unfinished().filter(instance=operation.instance_id).first()
        if running is None:
            # It has ended in this very moment; there is another chance soon.
            return False
        raise OperationRunning(running) from None


def _preparation_of(operation: Operation) -> Operation | None:
    """What it waits for when it begins: what it waited for, or what was prepared then may have been discarded."""
    waits_for, instance = operation.waits_for, operation.instance
    if waits_for is not None and not waits_for.is_finished:
        return waits_for
    if operation.kind not in (OperationKind.CREATE, OperationKind.UPDATE, OperationKind.RESTORE):
        return waits_for
    assert instance is not None
    return preparation(operation.version or instance.version, instance.host, SYSTEM) or waits_for


def _refuse_to_begin(operation: Operation, instance: Instance) -> None:
    """Raises OperationRefused; OperationRunning where it has to wait for another. ``instance``: as it is now."""
    kind = OperationKind(operation.kind)
    refuse_locked(kind, instance)
    running = instance.unfinished_operation
    if running is not None and running.pk != operation.pk:
        raise OperationRunning(running)
    match kind:
        case OperationKind.PURGE:
            refuse_needed(instance)
        case OperationKind.REMOVE:
            refuse_removed(instance)
        case OperationKind.CREATE:
            refuse_removed(instance)
            if instance.is_installed:
                raise AlreadyInstalled(instance)
        case OperationKind.UPDATE:
            assert operation.version is not None
            check_update(instance, operation.version)
        case _:
            refuse_not_installed(instance)


def _describe_backups(operation: Operation, instance: Instance) -> None:
    """The rows of what it makes are as old as its filing; the archives hold what the instance is now."""
    Backup.objects.filter(_made_by(operation), completed_at=None).update(
        version=instance.version_id, db=instance.db, created_at=timezone.now()
    )
