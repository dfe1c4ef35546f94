"""The rows of backups that operations make or start from."""

from __future__ import annotations

import secrets

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from instances.choices import BackupReason
from instances.errors import BackupInUse, BackupUnusable
from instances.models import Backup, Instance, Operation
from instances.operations.filing import Request

_OF_THE_EVENT = (
    "event_name",
    "event_description",
    "event_date",
    "event_location",
    "event_organizer",
    "admin_first_name",
    "admin_last_name",
    "admin_username",
    "admin_initial_password",
    "superadmin_password",
    "projector_logo",
)
"""What an instance's data hold themselves, so the row of one that is made of a backup says the same."""


def new_backup(instance: Instance, reason: BackupReason, request: Request) -> Backup:
    """The row of an archive that an operation will make; it is complete when the archive is."""
    return Backup.objects.create(
        instance=instance,
        version=instance.version,
        host=instance.host,
        db=instance.db,
        reason=reason,
        name=new_name(instance, reason),
        created_by=request.user,
    )


def new_name(instance: Instance, reason: BackupReason) -> str:
    """The name of a new archive in the backup store: the instance's id, then time (UTC), reason, and chance."""
    return f"{instance.pk}/{timezone.now():%Y-%m-%dT%H-%M-%SZ}-{reason.value}-{secrets.token_hex(4)}.tar"


def refuse_incomplete(backup: Backup) -> None:
    """Raises BackupUnusable."""
    if not backup.is_complete:
        raise BackupUnusable(backup, _("It is not complete yet. Wait until it is, or choose another."))


def refuse_needed(instance: Instance) -> None:
    """Raises BackupInUse where another instance is being made of one of this one's backups."""
    needs = Q(backup__instance=instance) | Q(safety_backup__instance=instance)
    others = Operation.objects.filter(needs, finished_at=None, instance__isnull=False).exclude(instance=instance)
    using = others.first()
    if using is not None:
        raise BackupInUse(using)


def take_over(instance: Instance, backup: Backup) -> None:
    """Let an instance that is not installed be what the backup is: its version, its database, its event."""
    source = backup.instance
    instance.version, instance.db, instance.host = backup.version, backup.db, backup.host
    if source.pk != instance.pk:
        for field in _OF_THE_EVENT:
            setattr(instance, field, getattr(source, field))
