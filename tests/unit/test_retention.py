"""How long backups are kept, and what deletes them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from deployers.backups.folder import FolderStore
from deployers.backups.store import ArchiveFacts
from deployers.errors import StoreFailed
from instances import archives, backups, operations, retention
from instances.choices import BackupReason, OperationKind, Outcome
from instances.errors import BackupInUse
from instances.models import Backup, Instance, Operation
from tests.factories import make_backup, make_installed, make_operation

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> FolderStore:
    settings.BACKUP_DIR = tmp_path / "backups"
    store = archives.store()
    assert isinstance(store, FolderStore)
    return store


def put(backup: Backup) -> Backup:
    """With its archive."""
    with archives.store().write(backup.name) as stream:
        stream.write(b"archive")
    return backup


def aged(instance: Instance, days: float, **values: Any) -> Backup:
    """A backup that was made so many days ago, and expires as the settings say."""
    at = NOW - timedelta(days=days)
    reason = values.setdefault("reason", BackupReason.SCHEDULED)
    return put(
        make_backup(
            instance=instance,
            created_at=at,
            completed_at=at,
            **{"expires_at": retention.expiry(BackupReason(reason), at), **values},
        )
    )


@pytest.mark.parametrize(
    ("reason", "days"),
    [
        (BackupReason.MANUAL, None),
        (BackupReason.SCHEDULED, 7),
        (BackupReason.UPDATE, 7),
        (BackupReason.RESTORE, 7),
        (BackupReason.CLONE, 7),
        (BackupReason.REMOVE, 90),
    ],
)
def test_the_reason_decides_how_long_a_backup_is_kept(settings: Any, reason: BackupReason, days: int | None) -> None:
    settings.BACKUP_KEEP_DAYS, settings.REMOVED_KEEP_DAYS = 7, 90
    assert retention.expiry(reason, NOW) == (None if days is None else NOW + timedelta(days=days))


def test_what_has_expired_is_deleted_with_its_archive(store: FolderStore) -> None:
    instance = make_installed()
    old, new = aged(instance, 31), aged(instance, 1)
    assert backups.expire(NOW) == 1
    assert store.names() == [new.name]
    assert list(Backup.objects.all()) == [new]
    assert not Backup.objects.filter(pk=old.pk).exists()


def test_the_newest_good_backup_stays_however_old_it_is() -> None:
    instance = make_installed()
    older, good, damaged = aged(instance, 400), aged(instance, 300), aged(instance, 200, problem="Its end is missing.")
    backups.expire(NOW)
    assert set(Backup.objects.all()) == {good, damaged}
    assert older not in Backup.objects.all()


def test_the_last_backup_of_a_removed_instance_stays_as_long_as_it_can_come_back(settings: Any) -> None:
    settings.REMOVED_KEEP_DAYS = 60
    instance = make_installed(removed_at=NOW - timedelta(days=50))
    last = aged(instance, 50, reason=BackupReason.UPDATE)
    asked = aged(instance, 55, reason=BackupReason.MANUAL)
    backups.expire(NOW)
    assert set(Backup.objects.all()) == {last, asked}
    backups.expire(NOW + timedelta(days=11))
    assert list(Backup.objects.all()) == [asked]


def test_so_many_scheduled_ones_are_kept(settings: Any) -> None:
    settings.BACKUP_KEEP_COUNT = 3
    instance = make_installed()
    aged(instance, 9, reason=BackupReason.UPDATE)
    for days in (8, 7, 6, 5):
        aged(instance, days)
    newest = put(make_backup(instance=instance, reason=BackupReason.SCHEDULED, completed_at=None))
    backups.complete(newest, 7, "0" * 64, NOW)
    assert newest.expires_at == NOW + timedelta(days=30)
    backups.expire(NOW)
    assert Backup.objects.filter(reason=BackupReason.SCHEDULED).count() == 3
    assert newest in Backup.objects.all()
    assert Backup.objects.filter(reason=BackupReason.UPDATE).exists()


@pytest.mark.parametrize("field", ["backup", "safety_backup"])
def test_one_that_an_operation_needs_is_not_deleted(store: FolderStore, field: str) -> None:
    instance = make_installed()
    needed = aged(instance, 40)
    aged(instance, 1)
    operation = make_operation(instance=instance, kind=OperationKind.RESTORE, **{field: needed})
    assert backups.expire(NOW) == 0
    with pytest.raises(BackupInUse, match=f"Operation {operation.pk}"):
        backups.delete(needed)
    assert needed.name in store.names()
    operation.status, operation.finished_at = Outcome.FAILED, NOW
    operation.save()
    backups.delete(needed)
    assert needed.name not in store.names()


def test_what_came_to_need_it_in_this_very_moment_keeps_the_row(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = put(make_backup())
    delete = FolderStore.delete

    def delete_and_meanwhile(self: FolderStore, name: str) -> None:
        delete(self, name)
        make_operation(instance=make_installed(), kind=OperationKind.CREATE, backup=backup, from_backup=True)

    monkeypatch.setattr(FolderStore, "delete", delete_and_meanwhile)
    backups.delete(backup)
    backup.refresh_from_db()
    assert not backup.is_complete
    assert Operation.objects.get().backup == backup


def test_when_the_store_fails_the_backup_stays_as_it_was(settings: Any, tmp_path: Path) -> None:
    backup = put(make_backup())
    before = Backup.objects.get()
    (tmp_path / "file").touch()
    settings.BACKUP_DIR = tmp_path / "file"
    with pytest.raises(StoreFailed):
        backups.delete(backup)
    after = Backup.objects.get()
    assert (after.completed_at, after.size) == (before.completed_at, before.size)


def test_a_row_that_is_deleted_while_it_is_settled_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process deletes the backup, and takes its time: it is not complete then, and its archive is there."""
    backup = put(make_backup(completed_at=None, created_at=NOW - timedelta(days=1)))
    facts = FolderStore.facts

    def look_and_meanwhile(self: FolderStore, name: str) -> ArchiveFacts | None:
        found = facts(self, name)
        Backup.objects.filter(pk=backup.pk).delete()
        return found

    monkeypatch.setattr(FolderStore, "facts", look_and_meanwhile)
    backups.settle(NOW)
    assert not Backup.objects.exists()


def test_one_that_was_made_before_the_clock_was_set_back_is_settled() -> None:
    make_backup(completed_at=None, created_at=NOW + timedelta(days=1))
    making = make_backup(completed_at=None, created_at=NOW)
    backups.settle(NOW)
    assert list(Backup.objects.all()) == [making]


def test_a_deletion_that_was_cut_off_is_settled(store: FolderStore) -> None:
    """The process died after the row was withdrawn, before or after the archive was deleted."""
    long_ago = NOW - timedelta(days=1)
    there = put(make_backup(completed_at=None, created_at=long_ago))
    gone = make_backup(completed_at=None, created_at=long_ago)
    making = make_backup(completed_at=None, created_at=long_ago)
    make_operation(instance=making.instance, kind=OperationKind.BACKUP, backup=making)
    backups.settle(NOW)
    there.refresh_from_db()
    making.refresh_from_db()
    assert there.is_complete
    assert there.size == len(b"archive")
    assert not making.is_complete
    assert not Backup.objects.filter(pk=gone.pk).exists()


def test_a_backup_whose_store_failed_at_its_end_is_completed_later(settings: Any, tmp_path: Path) -> None:
    from instances import outcomes

    operation = operations.backup(make_installed(), operations.SYSTEM)
    backup = operation.backup
    assert backup is not None
    good = settings.BACKUP_DIR
    put(backup)
    settings.BACKUP_DIR = tmp_path / ("long" * 100)
    outcomes.ask_for_backup(operation)()
    settings.BACKUP_DIR = good
    operation.status, operation.finished_at = Outcome.SUCCEEDED, NOW
    operation.save()
    backups.settle(NOW + timedelta(hours=1))
    backup.refresh_from_db()
    assert backup.is_complete
