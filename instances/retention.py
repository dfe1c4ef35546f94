"""How long backups are kept: decided by why they were made, written down when they are complete."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from instances.choices import BackupReason
from instances.models import Backup, Operation


def expiry(reason: BackupReason, completed_at: datetime) -> datetime | None:
    """When a backup may go away; None for one that somebody asked for: it is kept until it is deleted."""
    if reason == BackupReason.MANUAL:
        return None
    days = settings.REMOVED_KEEP_DAYS if reason == BackupReason.REMOVE else settings.BACKUP_KEEP_DAYS
    return completed_at + timedelta(days=days)


def let_surplus_expire(newest: Backup) -> None:
    """After a scheduled backup: the oldest of its instance's good scheduled ones, beyond BACKUP_KEEP_COUNT, expire."""
    assert newest.completed_at is not None
    if newest.reason != BackupReason.SCHEDULED:
        return
    scheduled = newest.instance.backups.complete().filter(reason=BackupReason.SCHEDULED, problem="")
    surplus = scheduled.order_by("-completed_at", "-id").values_list("pk", flat=True)[settings.BACKUP_KEEP_COUNT :]
    Backup.objects.filter(pk__in=list(surplus)).update(expires_at=newest.completed_at)


def expired(now: datetime) -> QuerySet[Backup]:
    """Those that may be deleted.

    Not the newest good one of an instance, and what is newer than that: it may be the only proof that there was one.
    Those of a removed instance go, when the time is over in which it can be brought back.
    """
    newer_and_good = Backup.objects.complete().filter(
        instance=OuterRef("instance"), completed_at__gt=OuterRef("completed_at"), problem=""
    )
    not_to_come_back = Q(instance__removed_at__lte=now - timedelta(days=settings.REMOVED_KEEP_DAYS))
    return (
        Backup.objects.complete()
        .filter(expires_at__lte=now)
        .filter(not_to_come_back | Exists(newer_and_good))
        .exclude(in_use())
    )


def in_use() -> Exists:
    """Whether an operation that has not ended makes the backup or takes it."""
    unfinished = Operation.objects.filter(finished_at=None)
    return Exists(unfinished.filter(Q(backup=OuterRef("pk")) | Q(safety_backup=OuterRef("pk"))))
