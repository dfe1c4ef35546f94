"""What is on hosts and in the backup store without a row that owns it: found now and then, removed when asked.

An instance that is being made, and one that is being removed, have a row; so nothing of theirs is an orphan. Whatever
is removed is looked for once more right before, and left alone if a row owns it by then.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.utils import timezone
from django.utils.translation import gettext as _

from deployers.backups.verifying import scratch_id
from deployers.errors import DeployError
from deployers.orphans import KINDS
from deployers.spec import OrphanSpec
from instances import audit, messages, turns, worker
from instances.archives import store
from instances.choices import OrphanKind
from instances.deployment import UnsupportedHost, deployer_for
from instances.models import Backup, Host, Instance, Operation, Orphan, Version

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from instances.models.operation import OperationQuerySet

logger = logging.getLogger(__name__)

ARCHIVE = re.compile(r"([0-9a-f]{32})/.+")
"""``operations.archives.new_name``. Whatever else lies in the store is not ours."""
REMOVALS_SECONDS = 120.0
"""How long a removal waits for those that were asked for before; what it leaves comes with the next search."""
ORDER = {kind: place for place, kind in enumerate((*KINDS, OrphanKind.BACKUP))}


def look_for(host: Host) -> None:
    """Bring the host's list up to date. One listing for each part of the host, and a handful of queries.

    What cannot be searched keeps its list. Raises DeployError, OSError, UnsupportedHost.
    """
    listed = Orphan.objects.filter(host=host)
    try:
        _bring_up_to_date(host, listed.exclude(kind=OrphanKind.BACKUP), _on_host(host))
    finally:
        # A host that cannot be searched is no reason not to search the store.
        _bring_up_to_date(host, listed.filter(kind=OrphanKind.BACKUP), _in_store(host))


def named(orphans: QuerySet[Orphan]) -> QuerySet[Orphan]:
    """With the attribute ``made_for``: the name of the removed instance that it was made for, or None."""
    own = Instance.objects.filter(pk=OuterRef("instance_id"))
    name = own.values(name=Concat("slug", Value("."), "domain__domain"))[:1]
    return orphans.annotate(made_for=Subquery(name))


def loss(orphan: Orphan) -> str:
    """What is lost when it is removed, for who decides about that."""
    if orphan.kind == OrphanKind.DIRECTORY and not orphan.instance_id:
        return _("What was prepared of a version that is not there any more; it can be prepared again.")
    return {
        OrphanKind.DIRECTORY: _("All files of the instance: settings, uploads, logs, and its database if that is one."),
        OrphanKind.DATABASE: _("All databases of the instance with their contents, and its database account."),
        OrphanKind.ROLE: _("The database account of the instance, and all databases that are its own."),
        OrphanKind.SERVICE: _("What runs is stopped; whoever works there is cut off."),
        OrphanKind.CONTAINER: _("It is stopped and deleted; whoever works there is cut off."),
        OrphanKind.CACHE_USER: _("The account and its keys: whoever is logged in has to log in again."),
        OrphanKind.ADDRESS: _("The address leads nowhere any more."),
        OrphanKind.BACKUP: _("The archive: nothing can be restored of it any more."),
    }[OrphanKind(orphan.kind)]


def ask_removal(orphans: Iterable[Orphan], user: User | None) -> None:
    """Let their hosts remove them. Each is gone from the list when it is gone from its host."""
    hosts = {}
    for orphan in orphans:
        orphan.removal_asked_at, orphan.removal_asked_by, orphan.problem = timezone.now(), user, ""
        orphan.save(update_fields=["removal_asked_at", "removal_asked_by", "problem"])
        audit.note(orphan, "removal asked for")
        hosts[orphan.host_id] = orphan.host
    for host in hosts.values():
        messages.remove_orphans(host)


def remove_due(host: Host) -> None:
    """Remove what somebody asked for, and what was there for ORPHAN_DAYS; one query when there is nothing.

    No row is locked for it, because it takes its time; it has the turn at the thing. Who brings the instance back
    meanwhile writes a row first, and a row is what is looked for here, and then waits for the turn: nothing is taken
    away under its hands. What is asked for one by one is removed one after the other.
    """
    with suppress(turns.NotOurTurn, worker.Stopping), turns.turn(f"orphans of host {host.pk}", REMOVALS_SECONDS):
        _remove_due(host)


def _remove_due(host: Host) -> None:
    due = Q(removal_asked_at__isnull=False)
    if settings.ORPHAN_DAYS:
        due |= Q(first_seen_at__lt=timezone.now() - timedelta(days=settings.ORPHAN_DAYS))
    for orphan in sorted(Orphan.objects.filter(due, host=host), key=lambda each: (ORDER[each.kind], each.name)):
        try:
            with turns.turn(turns.of_orphan(orphan), turns.WAIT_SECONDS):
                removed = _remove_unowned(host, orphan)
        except turns.NotOurTurn as busy:
            logger.info("Host %s: %s is removed later: %s", host, orphan, busy)
        except (DeployError, OSError, ValueError, UnsupportedHost) as error:
            logger.warning("Host %s: %s could not be removed: %s", host, orphan, error)
            Orphan.objects.filter(pk=orphan.pk).update(problem=str(error), removal_asked_at=None)
        else:
            logger.warning("Host %s: %s %s.", host, orphan, "was removed" if removed else "belongs to an instance now")
            if removed:
                audit.note(orphan, "removed")
            Orphan.objects.filter(pk=orphan.pk).delete()


def _remove_unowned(host: Host, orphan: Orphan) -> bool:
    """False: a row owns it by now, and it was left alone."""
    if orphan.kind == OrphanKind.BACKUP:
        if Backup.objects.filter(name=orphan.name).exists():
            return False
        store().delete(orphan.name)
        return True
    if _owners().filter(pk=orphan.instance_id).exists() or orphan.instance_id in _scratch_of_verifications(host):
        return False
    if not orphan.instance_id and _is_of_version(orphan, _directories_of_versions()):
        return False
    deployer_for(host.kind).remove_orphan(OrphanSpec(orphan.kind, orphan.name, orphan.instance_id))
    return True


def _bring_up_to_date(host: Host, listed: QuerySet[Orphan], specs: Iterable[OrphanSpec]) -> None:
    before = {(orphan.kind, orphan.name): orphan for orphan in listed}
    found = {(spec.kind, spec.name): spec for spec in specs}
    Orphan.objects.filter(pk__in=[orphan.pk for key, orphan in before.items() if key not in found]).delete()
    new = [
        Orphan(host=host, kind=spec.kind, name=spec.name, instance_id=spec.instance_id)
        for key, spec in found.items()
        if key not in before
    ]
    Orphan.objects.bulk_create(new, ignore_conflicts=True)
    for orphan in new:
        logger.warning("Host %s: %s belongs to no instance.", host, orphan)


def _on_host(host: Host) -> list[OrphanSpec]:
    """What had no owner at any time since the search began: rows come before, and go after, what they own."""
    begun = timezone.now()
    specs = deployer_for(host.kind).orphans(_known(host), [version.spec() for version in Version.objects.all()])
    if not specs:
        return []
    owned, prepared = _known(host, begun), _directories_of_versions()
    return [spec for spec in specs if spec.instance_id not in owned and not _is_of_version(spec, prepared)]


def _directories_of_versions() -> set[str]:
    """The names of those in which the versions that there are may be prepared."""
    specs = [version.spec() for version in Version.objects.all()]
    return {replace(spec, coming=coming).directory_name for spec in specs for coming in (False, True)}


def _is_of_version(spec: OrphanSpec | Orphan, directories: set[str]) -> bool:
    return not spec.instance_id and spec.kind == OrphanKind.DIRECTORY and Path(spec.name).name in directories


def _in_store(host: Host) -> list[OrphanSpec]:
    """Archives without a row. Of hosts that share a store, one lists them."""
    found = {name: match[1] for name in store().names() if (match := ARCHIVE.fullmatch(name)) is not None}
    if not found:
        return []
    # Read after the store was: the row is there before the archive.
    others = Orphan.objects.filter(kind=OrphanKind.BACKUP, host__lt=host.pk)
    for rows in (Backup.objects.all(), others):
        for name in rows.values_list("name", flat=True):
            found.pop(name, None)
    return [OrphanSpec(OrphanKind.BACKUP, name, number) for name, number in found.items()]


def _known(host: Host, since: datetime | None = None) -> set[str]:
    """The ids of all that may be on the host now, or might at any time ``since``."""
    return {*_owners(since).values_list("pk", flat=True), *_scratch_of_verifications(host, since)}


def _owners(since: datetime | None = None) -> QuerySet[Instance]:
    """Every instance that is there, or becomes or ceases to be."""
    working = _working(Operation.objects.filter(instance__isnull=False), since)
    owners = Q(removed_at=None) | Q(pk__in=working.values("instance"))
    return Instance.objects.filter(owners if since is None else owners | Q(removed_at__gte=since))


def _scratch_of_verifications(host: Host, since: datetime | None = None) -> set[str]:
    """What verifications use looks like an instance's."""
    working = _working(Operation.objects.filter(host=host, instance=None, backup__isnull=False), since)
    return {scratch_id(name) for name in working.values_list("backup__name", flat=True) if name}


def _working(operations: OperationQuerySet, since: datetime | None) -> OperationQuerySet:
    """Those that have not ended, or not before ``since``."""
    return (
        operations.unfinished()
        if since is None
        else operations.unfinished() | operations.filter(finished_at__gte=since)
    )
