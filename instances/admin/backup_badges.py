"""Backups as lists and pages show them."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from instances import backups
from instances.admin.badges import Badge
from instances.choices import Outcome
from instances.models import Backup, Instance, Operation

ROWS = 5


def backup_badge(backup: Backup) -> Badge:
    if not backup.is_complete:
        return Badge(label=_("not complete"), colour="info", note="", url="", busy=True)
    if backup.problem:
        return Badge(label=_("damaged"), colour="danger", note="", url="", busy=False)
    if backup.verified_at is not None:
        return Badge(label=_("verified"), colour="success", note="", url="", busy=False)
    return Badge(label=_("complete"), colour="", note="", url="", busy=False)


@dataclass(frozen=True, slots=True)
class BackupRow:
    backup: Backup
    badge: Badge


@dataclass(frozen=True, slots=True)
class BackupSection:
    """The backups on an instance's page, and what may be asked for there. ``more``: there are others."""

    rows: list[BackupRow]
    more: bool
    failed: Operation | None
    may_view: bool
    may_restore: bool
    may_download: bool
    make: bool
    clone: bool
    bring_back: bool
    purge: bool


def section_of(instance: Instance, user: User | AnonymousUser) -> BackupSection | None:
    """None for an instance that was never installed, or for somebody who may not see it. Two queries.

    Reads ``operation_kind`` (``with_operation``).
    """
    may_view = user.has_perm("instances.view_backup")
    may_copy = user.has_perms(["instances.add_instance", "instances.restore_backup"])
    is_there = instance.is_installed and instance.removed_at is None
    if not (is_there or instance.removed_at is not None):
        return None
    idle = getattr(instance, "operation_kind", None) is None
    later = Operation.objects.filter(status=Outcome.POSTPONED)
    planned = Exists(later.filter(Q(backup=OuterRef("pk")) | Q(safety_backup=OuterRef("pk"))))
    # What a postponed operation is going to make is not begun; the page says of the operation when it begins.
    rows = instance.backups.exclude(planned, completed_at=None)
    found = list(rows[: ROWS + 1]) if may_view or may_copy else []
    section = BackupSection(
        rows=[BackupRow(backup, backup_badge(backup)) for backup in found[:ROWS]] if may_view else [],
        more=len(found) > ROWS,
        failed=backups.last_failure(instance) if may_view and is_there and instance.backup_hours else None,
        may_view=may_view,
        may_restore=idle and is_there and user.has_perm("instances.restore_backup"),
        may_download=user.has_perm("instances.download_backup"),
        make=idle and is_there and user.has_perm("instances.add_backup"),
        clone=idle and is_there and may_copy,
        bring_back=idle and not is_there and may_copy and any(backup.is_complete for backup in found),
        purge=idle
        and not is_there
        and bool(found)
        and user.has_perms(["instances.delete_instance", "instances.purge_instance"]),
    )
    return section if may_view or section.make or section.clone or section.bring_back or section.purge else None
