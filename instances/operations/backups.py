"""Operations that make backups, and that bring their data back."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from instances import history, messages
from instances.choices import BackupReason, OperationKind, State
from instances.errors import BackupUnusable, NotRemoved, OperationRunning
from instances.models import Backup, Instance, Operation
from instances.operations.archives import new_backup, refuse_incomplete
from instances.operations.filing import Details, Request, file, refuse_not_installed
from instances.operations.life import create
from instances.operations.versions import preparation


def backup(instance: Instance, request: Request, reason: BackupReason = BackupReason.MANUAL) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved, ActionLocked."""
    refuse_not_installed(instance)
    with transaction.atomic():
        return file(OperationKind.BACKUP, instance, request, Details(backup=new_backup(instance, reason, request)))


def restore(backup: Backup, request: Request, *, safety: bool = True) -> Operation:
    """Put the backup's data in the place of its instance's present data.

    ``safety``: back these up first. Without it nothing of them is left, so only where they cannot be read any more.

    Raises OperationRunning, NotInstalled, InstanceRemoved, ActionLocked, BackupUnusable.
    """
    instance = backup.instance
    refuse_not_installed(instance)
    refuse_incomplete(backup)
    if backup.db != instance.db:
        raise BackupUnusable(backup, _("The instance keeps its data in another kind of database now. Clone it."))
    with transaction.atomic():
        details = Details(
            backup=backup,
            version=backup.version,
            waits_for=preparation(backup.version, instance.host, request),
            safety_backup=new_backup(instance, BackupReason.RESTORE, request) if safety else None,
        )
        return file(OperationKind.RESTORE, instance, request, details)


def clone(source: Instance, new_instance: Instance, request: Request) -> Operation:
    """Back ``source`` up and create ``new_instance`` (not saved yet; its slug and domain count) with its data.

    The creation is returned; it waits for the backup. Raises what ``backup`` and ``create`` raise.
    """
    with transaction.atomic():
        made = backup(source, request, BackupReason.CLONE)
        assert made.backup is not None
        return create(new_instance, request, made.backup, waits_for=made)


def bring_back(instance: Instance, request: Request, backup: Backup | None = None) -> Operation:
    """Create a removed instance again under its name, with the data of its newest good backup (or another of its own).

    Raises NotRemoved, BackupUnusable, OperationRunning; ValidationError where its address belongs to another one now.
    """
    if instance.removed_at is None:
        raise NotRemoved(instance)
    backup = backup or instance.backups.best()
    if backup is None:
        raise BackupUnusable(None, _("%(instance)s has no backup any more.") % {"instance": instance})
    with transaction.atomic():
        instance.removed_at, instance.installed_at, instance.failure = None, None, ""
        instance.validate_constraints()
        history.change_state(instance, State.NEW)
        return create(instance, request, backup)


def verify(backup: Backup, request: Request) -> Operation:
    """Restore the backup into a database that nobody uses, and read it. Raises BackupUnusable, OperationRunning."""
    refuse_incomplete(backup)
    with transaction.atomic():
        Backup.objects.select_for_update().get(pk=backup.pk)
        running = Operation.objects.unfinished().filter(kind=OperationKind.VERIFY, backup=backup).first()
        if running is not None:
            raise OperationRunning(running)
        operation = Operation.objects.create(
            kind=OperationKind.VERIFY,
            backup=backup,
            version=backup.version,
            host=backup.host,
            waits_for=preparation(backup.version, backup.host, request),
            requested_by=request.user,
            requested_via=request.via,
        )
        if operation.waits_for is None:
            messages.run(operation)
        return operation
