"""What is done with backups besides operations: their deletion, and all that happens by itself.

A row that is not complete belongs to an operation that makes it, or to a deletion that has begun; one to which neither
holds any more is settled by what the store has.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from deployers.errors import StoreFailed
from instances import operations, retention
from instances.archives import store
from instances.choices import BackupReason, OperationKind, Origin, Outcome
from instances.errors import BackupInUse, OperationRefused
from instances.models import ActionLock, Backup, Domain, Host, Instance, Operation
from instances.models.host import HEARD_WITHIN

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""Archives that one run deletes or settles; the next run goes on."""
SETTLED_AFTER = timedelta(minutes=10)
RETRY = timedelta(hours=1)
"""After a scheduled backup that failed; less where backups are made more often than every four hours."""


def look_after(now: datetime) -> None:
    """Everything that is due; to be called every minute. A constant number of queries when nothing is."""
    try:
        settle(now)
        expire(now)
    except StoreFailed as error:
        logger.warning("%s", error)
    file_due(now)
    verify_next(now)


def delete(backup: Backup) -> None:
    """Delete archive and row. Raises BackupInUse; StoreFailed: then both are as they were."""
    # From here on nobody can ask for it any more. A process that dies before the end leaves it to ``settle``.
    unused = Backup.objects.exclude(retention.in_use())
    if unused.filter(pk=backup.pk).update(completed_at=None) == 0:
        using = Operation.objects.filter(Q(backup=backup) | Q(safety_backup=backup), finished_at=None).first()
        if using is not None:
            raise BackupInUse(using)
        return
    try:
        store().delete(backup.name)
    except BaseException:
        Backup.objects.filter(pk=backup.pk).update(completed_at=backup.completed_at)
        raise
    with transaction.atomic():
        # Held: nothing comes to need it now. An operation that did while it was still offered keeps the row until it
        # has failed for want of the archive; then ``settle`` takes it.
        if unused.select_for_update().filter(pk=backup.pk).exists():
            Backup.objects.filter(pk=backup.pk).delete()


def expire(now: datetime) -> int:
    """Delete what need not be kept any longer; how many. Raises StoreFailed."""
    deleted = 0
    for backup in retention.expired(now)[:AT_ONCE]:
        try:
            delete(backup)
        except BackupInUse:
            continue
        logger.info("The backup %s has expired and is deleted.", backup.name)
        deleted += 1
    return deleted


def settle(now: datetime) -> None:
    """Complete rows whose archive is there after all, and delete those without one. Raises StoreFailed."""
    # Made long ago; or, where the clock was set back since, in a time to come.
    new = (now - SETTLED_AFTER, now + SETTLED_AFTER)
    left = Backup.objects.filter(completed_at=None).exclude(created_at__range=new).exclude(retention.in_use())
    for backup in left.select_related("instance")[:AT_ONCE]:
        facts = store().facts(backup.name)
        if facts is None:
            store().delete(backup.name)
            Backup.objects.filter(pk=backup.pk, completed_at=None).delete()
        else:
            complete(backup, facts.size, facts.sha256, backup.created_at)


def complete(backup: Backup, size: int, sha256: str, completed_at: datetime) -> None:
    """Write down that the archive is there, and until when it is kept; unless the row was deleted meanwhile."""
    backup.size, backup.sha256, backup.completed_at = size, sha256, completed_at
    backup.expires_at = retention.expiry(BackupReason(backup.reason), completed_at)
    known = {"size": size, "sha256": sha256, "completed_at": completed_at, "expires_at": backup.expires_at}
    if Backup.objects.filter(pk=backup.pk).update(**known):
        retention.let_surplus_expire(backup)


def file_due(now: datetime) -> list[Operation]:
    """Ask for the scheduled backups that are due, those first that are due for longest; three queries if none is.

    At most BACKUPS_AT_ONCE of a host wait or run at the same time. What is busy or locked has its turn later.
    """
    due = sorted(
        (began, instance_id, host_id)
        for instance_id, host_id, hours, made_at, tried_at in _scheduled()
        if (began := due_since(instance_id, hours, made_at, tried_at, now)) is not None
    )
    if not due:
        return []
    ours = Operation.objects.unfinished().filter(kind=OperationKind.BACKUP, requested_via=Origin.SYSTEM)
    running = dict(ours.order_by().values_list("host").annotate(Count("pk")))
    chosen = []
    for _, instance_id, host_id in due:
        if running.get(host_id, 0) < settings.BACKUPS_AT_ONCE:
            running[host_id] = running.get(host_id, 0) + 1
            chosen.append(instance_id)
    filed = []
    for instance in Instance.objects.filter(pk__in=chosen).select_related("host", "domain", "version"):
        try:
            filed.append(operations.backup(instance, operations.SYSTEM, BackupReason.SCHEDULED))
        except OperationRefused as refused:
            logger.info("The backup of %s has its turn later: %s", instance, refused)
    return filed


def _scheduled() -> QuerySet[Instance, tuple[str, int, int, datetime | None, datetime | None]]:
    """Instances that have a schedule and could be backed up now: id, host, hours, last good one, last try."""
    made = Backup.objects.complete().filter(instance=OuterRef("pk"), reason=BackupReason.SCHEDULED, problem="")
    tried = Operation.objects.filter(instance=OuterRef("pk"), kind=OperationKind.BACKUP, requested_via=Origin.SYSTEM)
    return (
        Instance.objects.present()
        .filter(backup_hours__gt=0, installed_at__isnull=False)
        .exclude(Exists(Operation.objects.unfinished().filter(instance=OuterRef("pk"))))
        .exclude(Exists(ActionLock.objects.filter(instance=OuterRef("pk"), action=OperationKind.BACKUP)))
        .order_by()
        .values_list(
            "pk",
            "host_id",
            "backup_hours",
            Subquery(made.order_by("-created_at").values("created_at")[:1]),
            Subquery(tried.order_by("-created_at").values("created_at")[:1]),
        )
    )


def slot(instance_id: str, hours: int, now: datetime) -> datetime:
    """When the present period of an instance began. Each instance has another time, which its id decides."""
    period = hours * 3600
    offset = int.from_bytes(hashlib.sha256(instance_id.encode()).digest()[:4]) % period
    return now - timedelta(seconds=(now.timestamp() - offset) % period)


def due_since(
    instance_id: str, hours: int, made_at: datetime | None, tried_at: datetime | None, now: datetime
) -> datetime | None:
    """Since when a scheduled backup is due; None when it is not. ``made_at``: when the last good one was asked for."""
    began = slot(instance_id, hours, now)
    if made_at is not None and made_at >= began:
        return None
    if tried_at is not None and now - tried_at < min(RETRY, timedelta(hours=hours) / 4):
        return None
    return began if made_at is None else made_at + timedelta(hours=hours)


def verify_next(now: datetime) -> Operation | None:
    """Ask for the verification of one backup, if it is time and none is under way; three queries at most if not.

    Of the instance for which that was done or tried longest ago (or never), the newest one. A host that is not heard of
    verifies nothing, and keeps no other from it.
    """
    if not settings.BACKUP_VERIFY_HOURS:
        return None
    heard = Host.objects.filter(last_seen__range=(timezone.now() - HEARD_WITHIN, timezone.now() + HEARD_WITHIN))
    earlier = Operation.objects.filter(kind=OperationKind.VERIFY, requested_via=Origin.SYSTEM).exclude(
        ~Q(host__in=heard), finished_at=None
    )
    since = now - timedelta(hours=settings.BACKUP_VERIFY_HOURS)
    if earlier.filter(created_at__gt=since).exists() or earlier.filter(finished_at=None).exists():
        return None
    newer = Backup.objects.complete().filter(instance=OuterRef("instance"), completed_at__gt=OuterRef("completed_at"))
    tried = Operation.objects.filter(
        kind=OperationKind.VERIFY, requested_via=Origin.SYSTEM, backup__instance=OuterRef("instance")
    ).order_by("-created_at")
    backup = (
        Backup.objects.complete()
        .filter(host__in=heard)
        .exclude(Exists(newer))
        .annotate(done=Max("instance__backups__verified_at"), tried=Subquery(tried.values("created_at")[:1]))
        .annotate(last=Coalesce(Greatest("done", "tried"), "done", "tried"))
        .select_related("version", "host", "instance__domain")
        .order_by(F("last").asc(nulls_first=True), "completed_at")
        .first()
    )
    if backup is None:
        return None
    try:
        return operations.verify(backup, operations.SYSTEM)
    except OperationRefused as refused:
        logger.info("The verification of %s has its turn later: %s", backup, refused)
        return None


def last_failure(instance: Instance) -> Operation | None:
    """The last scheduled backup, if it failed; one query."""
    tried = instance.operations.filter(kind=OperationKind.BACKUP, requested_via=Origin.SYSTEM)
    last = tried.filter(finished_at__isnull=False).first()
    return last if last is not None and last.status == Outcome.FAILED else None


def copy_of(source: Instance, slug: str, domain: Domain) -> Instance:
    """An instance, not saved, that shall get the data of another one and run as it does."""
    return Instance(
        slug=slug,
        domain=domain,
        version=source.version,
        db=source.db,
        mode=source.mode,
        idle_minutes=source.idle_minutes,
        workers=source.workers,
        backup_hours=source.backup_hours,
    )
