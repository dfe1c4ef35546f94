"""The operations of an instance's life: from its creation to its removal."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from instances.choices import BackupReason, Desired, OperationKind
from instances.errors import (
    AlreadyInstalled,
    BackupUnusable,
    InstanceRemoved,
    NothingToTry,
    OperationRunning,
    VersionRefused,
)
from instances.models import Backup, Instance, Operation, Version
from instances.operations.archives import new_backup, refuse_incomplete, refuse_needed, take_over
from instances.operations.filing import (
    Details,
    Request,
    file,
    refuse_not_installed,
    refuse_removed,
    refuse_unusable,
)
from instances.operations.versions import preparation
from instances.placement import check_host_supports, choose_host

_TRIES = ("retries", "retry_at", "attention")


def create(
    instance: Instance, request: Request, backup: Backup | None = None, *, waits_for: Operation | None = None
) -> Operation:
    """Save the instance (with a host, if it has none yet) and file its creation; also to try again after a failure.

    ``backup``: its data instead of a new event's; version, kind of database, event and accounts are the backup's then.
    One that was asked for with a backup and failed is tried again with it. ``waits_for``: what makes the backup.

    Raises OperationRunning, AlreadyInstalled, InstanceRemoved, VersionRefused, Unsupported, NoHost, BackupUnusable;
    ValidationError where somebody else took the slug in this very moment. Then nothing is saved.
    """
    with transaction.atomic():
        if instance.installed_at is not None:
            raise AlreadyInstalled(instance)
        refuse_removed(instance)
        backup = backup or _earlier_backup(instance)
        if backup is not None:
            if waits_for is None:
                refuse_incomplete(backup)
            take_over(instance, backup)
        elif instance.host_id is None:
            instance.host = choose_host()
        if backup is None:
            refuse_unusable(instance.version)
        check_host_supports(instance.host, db=instance.db, mode=instance.mode, version=instance.version)
        try:
            with transaction.atomic():
                instance.desired_state = Desired.ACTIVE
                instance.save()
        except IntegrityError:
            # Checked before, so only a race ends here; the validation finds the words for it.
            instance.validate_constraints()
            raise
        waits_for = waits_for or preparation(instance.version, instance.host, request)
        details = Details(backup=backup, from_backup=backup is not None, waits_for=waits_for)
        return file(OperationKind.CREATE, instance, request, details)


def _earlier_backup(instance: Instance) -> Backup | None:
    """What an earlier creation started from. Without it, trying again would make an empty event of somebody's data.

    Raises BackupUnusable.
    """
    if instance._state.adding:
        return None
    creations = Operation.objects.filter(instance=instance, kind=OperationKind.CREATE)
    earlier = creations.select_related("backup").first()
    if earlier is None:
        return None
    if earlier.from_backup and earlier.backup is None:
        raise BackupUnusable(
            None,
            _("The backup that %(instance)s was to start from is gone. Remove it, and clone again.")
            % {"instance": instance},
        )
    return earlier.backup


def start(instance: Instance, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved, ActionLocked."""
    refuse_not_installed(instance)
    return file(OperationKind.START, instance, request)


def run_as_set(instance: Instance, request: Request) -> Operation | None:
    """After a change of how it runs (always on, idle time, processes): let that count now, if it runs at all.

    Raises OperationRunning, ActionLocked.
    """
    if not instance.is_installed or instance.removed_at is not None or instance.desired_state != Desired.ACTIVE:
        return None
    return start(instance, request)


def stop(instance: Instance, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved, ActionLocked."""
    refuse_not_installed(instance)
    return file(OperationKind.STOP, instance, request)


def check_update(instance: Instance, version: Version) -> None:
    """Whether the update would make sense; a lock is not looked for. No query for an instance that is installed.

    Raises OperationRunning (it is being created), NotInstalled, InstanceRemoved, VersionRefused, Unsupported.
    """
    refuse_not_installed(instance)
    if version == instance.version:
        raise VersionRefused(version, _("The instance has this version already."))
    if version.release < instance.version.release:
        raise VersionRefused(
            version,
            _("OpenSlides cannot take a database back from %(old)s to %(new)s. Choose a newer version.")
            % {"old": instance.version.name, "new": version.name},
        )
    refuse_unusable(version)
    check_host_supports(instance.host, db=instance.db, mode=instance.mode, version=version)


def update(instance: Instance, version: Version, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved, ActionLocked, VersionRefused, Unsupported."""
    check_update(instance, version)
    with transaction.atomic():
        details = Details(
            version=version,
            waits_for=preparation(version, instance.host, request),
            safety_backup=new_backup(instance, BackupReason.UPDATE, request),
        )
        return file(OperationKind.UPDATE, instance, request, details)


def remove(instance: Instance, request: Request) -> Operation:
    """After a last backup, if it was ever installed. An instance whose creation failed may be removed, too.

    Raises OperationRunning, InstanceRemoved, ActionLocked.
    """
    refuse_removed(instance)
    with transaction.atomic():
        last = new_backup(instance, BackupReason.REMOVE, request) if instance.is_installed else None
        return file(OperationKind.REMOVE, instance, request, Details(safety_backup=last))


def purge(instance: Instance, request: Request) -> Operation:
    """Remove the instance at once and for ever: without a last backup, and with all that it has.

    Raises OperationRunning, ActionLocked; BackupInUse where another instance is being made of one of its backups.
    """
    refuse_needed(instance)
    return file(OperationKind.PURGE, instance, request)


def try_again(instance: Instance, request: Request) -> Operation:
    """File what the system has tried in vain (see ``healing.py``), now, and let it begin to count its tries anew.

    Raises NothingToTry, OperationRunning, ActionLocked, NotInstalled, InstanceRemoved.
    """
    with transaction.atomic():
        if Instance.objects.hold(instance.pk) is None:
            raise InstanceRemoved(instance)
        instance.refresh_from_db(fields=["desired_state", "failure", "installed_at", "removed_at", *_TRIES])
        refuse_removed(instance)
        running = instance.unfinished_operation
        if running is not None:
            raise OperationRunning(running)
        if not instance.attention and instance.retry_at is None:
            raise NothingToTry(instance)
        match instance.desired_state:
            case Desired.ACTIVE:
                return start(instance, request)
            case Desired.STOPPED:
                return stop(instance, request)
            case _ if instance.failure == OperationKind.PURGE:
                return purge(instance, request)
            case _:
                return remove(instance, request)


def permission_to_try_again(instance: Instance) -> str:
    """What has been tried may be a removal, or a purge."""
    if instance.desired_state != Desired.REMOVED:
        return "instances.change_instance"
    return "instances.purge_instance" if instance.failure == OperationKind.PURGE else "instances.delete_instance"


def send_test_mail(instance: Instance, recipient: str, request: Request) -> Operation:
    """Let the instance send a mail the way OpenSlides does. Raises OperationRunning, NotInstalled, InstanceRemoved."""
    refuse_not_installed(instance)
    return file(OperationKind.MAIL, instance, request, Details(recipient=recipient))
