"""The end of an operation before its end, and the beginning of a postponed one."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from deployers.states import UnitState
from instances import audit, history, states
from instances.choices import Desired, OperationKind, Outcome, Preparation
from instances.errors import CannotCancel, NotPostponed, OperationRefused, OperationRunning
from instances.models import Backup, Host, Instance, Operation, Version
from instances.operations.filing import Request, begin, refuse_locked, refuse_not_installed, refuse_removed

logger = logging.getLogger(__name__)


def cancel(operation: Operation, request: Request) -> Operation:
    """Cancel an operation: at once where it has not begun, otherwise a worker ends what it does and undoes it.

    One that waits may have begun: it was given back, and waits for the next worker. That one undoes it.

    The one who asked for it is in the log of the instance. Raises CannotCancel.
    """
    waiting = [Outcome.POSTPONED, Outcome.QUEUED]
    with transaction.atomic():
        Instance.objects.hold(operation.instance_id)
        # Each is one guarded UPDATE: a worker that claims it, or enters its last step, at the same time wins or loses.
        ended = Operation.objects.filter(pk=operation.pk, status__in=waiting, reached=0).update(
            status=Outcome.CANCELLED, finished_at=timezone.now(), error=said_by(request)
        )
        if ended:
            before = Outcome(operation.status)
            operation.refresh_from_db()
            audit.note(operation, "cancelled")
            if before != Outcome.POSTPONED:
                take_back(operation)
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
    if not instance.is_installed:
        history.change_state(instance, states.observed(instance.facts(None), UnitState.STOPPED))


def _end_waiting(waiting: Operation, cancelled: Operation) -> None:
    """What waited for a cancelled operation is cancelled, too."""
    text = _("Operation %(id)s (%(what)s), which it waited for, was cancelled.") % {
        "id": cancelled.pk,
        "what": cancelled,
    }
    Instance.objects.hold(waiting.instance_id)
    if Operation.objects.filter(pk=waiting.pk, status=Outcome.QUEUED).update(
        status=Outcome.CANCELLED, finished_at=timezone.now(), error=text
    ):
        audit.note(waiting, "cancelled")
        take_back(waiting)


def discard_backups(operation: Operation) -> None:
    """The rows of the archives that an operation was to make and did not."""
    made = Q(safety_of=operation)
    if operation.kind == OperationKind.BACKUP:
        made |= Q(operations=operation)
    Backup.objects.filter(made, completed_at=None).delete()


def begin_due(host: Host) -> None:
    """Let the host's postponed operations begin whose time has come; one query when there are none.

    One whose instance is busy begins when it is not; one that makes no sense any more fails, and says why.
    """
    due = Operation.objects.filter(host=host, status=Outcome.POSTPONED, not_before__lte=timezone.now())
    for operation in due.select_related("instance__host", "instance__version", "instance__domain", "version"):
        assert operation.instance is not None
        try:
            _begin(operation)
        except OperationRunning as busy:
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
    removes = operation.kind in (OperationKind.REMOVE, OperationKind.PURGE)
    return "instances.delete_instance" if removes else "instances.change_instance"


def _begin(operation: Operation) -> bool:
    """Whether it was still postponed. Raises OperationRefused; OperationRunning where it has to wait for another."""
    instance, kind = operation.instance, OperationKind(operation.kind)
    assert instance is not None
    refuse_locked(kind, instance)
    if kind in (OperationKind.CREATE, OperationKind.REMOVE):
        refuse_removed(instance)
    elif kind != OperationKind.PURGE and not instance.unfinished_operation:
        refuse_not_installed(instance)
    try:
        with transaction.atomic():
            Instance.objects.hold(instance.pk)
            begun = Operation.objects.filter(pk=operation.pk, status=Outcome.POSTPONED).update(
                status=Outcome.QUEUED, previous_desired=instance.desired_state
            )
            if begun:
                operation.refresh_from_db(fields=["status", "previous_desired"])
                begin(operation, instance)
        return begun == 1
    except IntegrityError:
        running = instance.unfinished_operation
        if running is None:
            # It has ended in this very moment; there is another chance soon.
            return False
        raise OperationRunning(running) from None
