"""What follows from the end of an operation for its instance, its version and its backups."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.utils import timezone

from deployers.errors import ArchiveUnusable, DeployError
from deployers.states import UnitState
from instances import backups, claims, history, states
from instances.choices import OperationKind, Outcome, Preparation, State
from instances.models import Backup, Instance, Operation, Version
from instances.operations.ending import discard_backups
from instances.planning import archive_of

logger = logging.getLogger(__name__)

_SAYS_NOTHING_OF_THE_INSTANCE = (OperationKind.MAIL, OperationKind.BACKUP)


def apply_success(operation: Operation, instance: Instance | None) -> None:
    """Inside of the transaction in which the operation ended."""
    now = timezone.now()
    if instance is None:
        if operation.kind == OperationKind.PREPARE:
            Version.objects.filter(operations=operation).update(preparation=Preparation.PREPARED, prepared_at=now)
        else:
            Backup.objects.filter(operations=operation).update(verified_at=now, problem="")
        return
    if operation.kind in _SAYS_NOTHING_OF_THE_INSTANCE:
        return
    instance.failure = ""
    changed = ["failure"]
    match OperationKind(operation.kind):
        case OperationKind.CREATE:
            instance.installed_at = now
            changed += ["installed_at"]
        case OperationKind.UPDATE | OperationKind.RESTORE:
            assert operation.version is not None
            instance.version = operation.version
            changed += ["version"]
        case OperationKind.REMOVE | OperationKind.PURGE:
            instance.removed_at, instance.port = instance.removed_at or now, None
            changed += ["removed_at", "port"]
            history.change_state(instance, State.STOPPED)
            if operation.kind == OperationKind.PURGE:
                instance.backups.all().delete()
    instance.save(update_fields=changed)


def apply_failure(operation: Operation, instance: Instance | None, cause: Exception | None = None) -> None:
    """Inside of the transaction in which the operation ended. ``cause``: what the step that failed has raised."""
    for waiting in Operation.objects.filter(waits_for=operation, status=Outcome.QUEUED):
        _fail_waiting(waiting, operation)
    if instance is None:
        if operation.kind == OperationKind.PREPARE:
            Version.objects.filter(operations=operation).update(preparation=Preparation.FAILED)
        elif isinstance(cause, ArchiveUnusable):
            # Whatever else kept it from being verified says nothing of the archive, and so nothing is written down: one
            # that counts as damaged is passed over when its instance is brought back.
            Backup.objects.filter(operations=operation).update(verified_at=timezone.now(), problem=operation.error)
        return
    if operation.kind in _SAYS_NOTHING_OF_THE_INSTANCE:
        return
    instance.failure = operation.kind
    instance.save(update_fields=["failure"])


def ask_for_backup(operation: Operation) -> Callable[[], None]:
    """Ask the store what the operation's archive has become; what is returned writes it down.

    In two parts, because a store that is far away takes its time, and the database's lock is not held for that. The row
    of an archive that is not there goes away. Also after a failure: a backup that was complete before an update failed
    is as good as any other.
    """
    made = operation.backup if operation.kind == OperationKind.BACKUP else operation.safety_backup
    if made is None or made.is_complete:
        return lambda: None
    try:
        archive = archive_of(made)
        facts = archive.store.facts(archive.name)
    except DeployError as error:
        # It may be there: ``backups.settle`` asks again.
        logger.warning("Backup %s: %s", made.name, error)
        return lambda: None
    if facts is None:
        return lambda: discard_backups(operation)
    return lambda: backups.complete(made, facts.size, facts.sha256, timezone.now())


def _fail_waiting(waiting: Operation, failed: Operation) -> None:
    """An operation that waited for another (the preparation of its version, a backup) fails with it."""
    if failed.kind == OperationKind.PREPARE:
        error = f"{failed.version} could not be prepared: {failed.error}"
    else:
        error = f"Operation {failed.pk} ({failed}), which it waited for, failed: {failed.error}"
    Instance.objects.hold(waiting.instance_id)
    claims.finish(waiting, Outcome.FAILED, failed_step=failed.failed_step, error=error)
    discard_backups(waiting)
    instance = Instance.objects.filter(pk=waiting.instance_id).first()
    apply_failure(waiting, instance)
    if instance is not None:
        history.change_state(instance, states.observed(instance.facts(None), UnitState.STOPPED))
