"""What is on hosts and in the backup store without a row that owns it: found now and then, removed when asked.

An instance that is being made, and one that is being removed, have a row; so nothing of theirs is an orphan. Whatever
is removed is looked for once more right before, and left alone if a row owns it by then.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from deployers.backups.verifying import scratch_id
from deployers.errors import DeployError
from deployers.spec import OrphanSpec
from instances import messages
from instances.archives import store
from instances.choices import OrphanKind
from instances.deployment import deployer_for
from instances.models import Backup, Host, Instance, Operation, Orphan

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


def look_for(host: Host) -> None:
    """Bring the host's list up to date. One listing for each part of the host, and a handful of queries.

    Raises DeployError.
    """
    before = {(orphan.kind, orphan.name): orphan for orphan in Orphan.objects.filter(host=host)}
    specs = [*deployer_for(host.kind).orphans(_known(host)), *_archives(host)]
    # What came to the host, and got its row, between the two.
    owned = _known(host)
    found = {(spec.kind, spec.name): spec for spec in specs if spec.instance_id not in owned or spec.kind == "backup"}
    Orphan.objects.filter(pk__in=[orphan.pk for key, orphan in before.items() if key not in found]).delete()
    new = [
        Orphan(host=host, kind=spec.kind, name=spec.name, instance_id=spec.instance_id)
        for key, spec in found.items()
        if key not in before
    ]
    Orphan.objects.bulk_create(new, ignore_conflicts=True)
    for orphan in new:
        logger.warning("Host %s: %s belongs to no instance.", host, orphan)


def ask_removal(orphan: Orphan, user: User | None) -> None:
    """Let the host remove it. It is gone from the list when it is gone from the host."""
    orphan.removal_asked_at, orphan.removal_asked_by, orphan.problem = timezone.now(), user, ""
    orphan.save(update_fields=["removal_asked_at", "removal_asked_by", "problem"])
    messages.remove_orphans(orphan.host)


def remove_due(host: Host) -> None:
    """Remove what somebody asked for, and what was there for ORPHAN_DAYS; one query when there is nothing."""
    due = Q(removal_asked_at__isnull=False)
    if settings.ORPHAN_DAYS:
        due |= Q(first_seen_at__lt=timezone.now() - timedelta(days=settings.ORPHAN_DAYS))
    for orphan in Orphan.objects.filter(due, host=host):
        if orphan.kind == OrphanKind.BACKUP:
            owned = Backup.objects.filter(name=orphan.name).exists()
        else:
            owned = orphan.instance_id in _known(host)
        if owned:
            orphan.delete()
            continue
        try:
            if orphan.kind == OrphanKind.BACKUP:
                store().delete(orphan.name)
            else:
                spec = OrphanSpec(orphan.kind, orphan.name, orphan.instance_id)
                deployer_for(host.kind).remove_orphan(spec)
        except (DeployError, OSError, ValueError) as error:
            logger.warning("Host %s: %s could not be removed: %s", host, orphan, error)
            Orphan.objects.filter(pk=orphan.pk).update(problem=str(error), removal_asked_at=None)
        else:
            logger.warning("Host %s: %s was removed.", host, orphan)
            orphan.delete()


def _known(host: Host) -> set[str]:
    """Every instance that is there, or becomes or ceases to be; also what verifications use, by their names."""
    rows = Instance.objects.filter(Q(removed_at=None) | Q(operations__in=Operation.objects.unfinished()))
    return {*rows.values_list("pk", flat=True), *_scratch_of_verifications(host)}


def _scratch_of_verifications(host: Host) -> set[str]:
    running = Operation.objects.unfinished().filter(host=host, instance=None, backup__isnull=False)
    return {scratch_id(name) for name in running.values_list("backup__name", flat=True)}


def _archives(host: Host) -> list[OrphanSpec]:
    """Archives without a row. A store is one for all hosts, or this host's own: where it is seen, it is listed."""
    names = set(store().names())
    names -= set(Backup.objects.values_list("name", flat=True))
    return [OrphanSpec(OrphanKind.BACKUP, name, name.partition("/")[0][:32]) for name in names]
