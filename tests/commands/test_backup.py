"""manage.py backup, and what brings instances back or purges them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from instances import archives
from instances.choices import Desired, OperationKind, Origin
from instances.console import FAILED, NOT_FOUND, USAGE
from instances.models import Backup, Instance, Operation
from tests.commands.conftest import Run
from tests.factories import make_backup, make_domain, make_installed, make_operation

pytestmark = pytest.mark.django_db

CONTENT = b"archive" * 1000


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = tmp_path / "backups"
    return tmp_path / "backups"


@pytest.fixture
def removed() -> Instance:
    return make_installed(slug="spring", removed_at=timezone.now(), desired_state=Desired.REMOVED)


def stored(**values: Any) -> Backup:
    """With its archive."""
    backup = make_backup(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), **values)
    with archives.store().write(backup.name) as stream:
        stream.write(CONTENT)
    return backup


def test_create_files_a_backup(manage: Run) -> None:
    instance = make_installed(slug="assembly")
    answer = manage("backup", "create", "assembly")
    operation = Operation.objects.get()
    assert (operation.kind, operation.instance, operation.requested_via) == ("backup", instance, Origin.COMMAND)
    assert f"Operation {operation.pk} is filed" in answer.out
    assert manage("backup", "create", "assembly").code == FAILED


def test_list_shows_those_of_removed_instances_too(manage: Run, removed: Instance) -> None:
    gone, there = make_backup(instance=removed), make_backup(problem="Its end is missing.")
    answer = manage("backup", "list")
    assert answer.out.split("\n")[0].split() == [
        "BACKUP", "INSTANCE", "MADE", "REASON", "VERSION", "SIZE", "KEPT", "UNTIL", "STATE",
    ]  # fmt: skip
    assert "damaged" in answer.out
    documents = json.loads(manage("backup", "list", "--json").out)
    assert [(one["backup"], one["removed"], one["state"]) for one in documents] == [
        (there.pk, False, "damaged"),
        (gone.pk, True, "complete"),
    ]
    for filtered in (["--removed"], ["spring"], [str(removed)], [removed.pk]):
        assert [one["backup"] for one in json.loads(manage("backup", "list", "--json", *filtered).out)] == [gone.pk]
    assert manage("backup", "list", "unknown").code == NOT_FOUND


def test_without_a_backup_the_list_says_how_to_make_one(manage: Run) -> None:
    assert "manage.py backup create" in manage("backup", "list").out


def test_restore_asks_first(manage: Run) -> None:
    backup = stored()
    answer = manage("backup", "restore", str(backup.pk))
    assert (answer.code, Operation.objects.count()) == (USAGE, 0)
    assert manage("backup", "restore", str(backup.pk), "--yes").code == 0
    operation = Operation.objects.get()
    assert (operation.kind, operation.backup) == (OperationKind.RESTORE, backup)
    assert operation.safety_backup is not None


def test_restore_without_a_safety_backup(manage: Run) -> None:
    manage("backup", "restore", str(stored().pk), "--yes", "--without-safety-backup")
    assert Operation.objects.get().safety_backup is None


def test_clone_makes_an_instance_of_the_present_data_or_of_a_backup(manage: Run) -> None:
    backup = stored()
    source = backup.instance
    domain = make_domain(domain="copies.example.org")
    assert manage("backup", "clone", source.slug, "first").code == 0
    first = Instance.objects.get(slug="first")
    assert Operation.objects.get(instance=first).waits_for is not None
    answer = manage("backup", "clone", source.slug, "second", "--domain", domain.domain, "--backup", str(backup.pk))
    second = Instance.objects.get(slug="second")
    assert second.pk in answer.out
    assert (second.domain, Operation.objects.get(instance=second).backup) == (domain, backup)
    assert manage("backup", "clone", first.slug, "third", "--backup", str(backup.pk)).code == USAGE
    wrong = manage("backup", "clone", source.slug, "Not a name")
    assert (wrong.code, "--slug" in wrong.error) == (USAGE, True)


def test_download_writes_a_new_file_for_its_owner_only(manage: Run, tmp_path: Path) -> None:
    backup, target = stored(), tmp_path / "backup.tar"
    answer = manage("backup", "download", str(backup.pk), str(target))
    assert (answer.code, target.read_bytes()) == (0, CONTENT)
    assert target.stat().st_mode & 0o777 == 0o600
    assert backup.sha256 in answer.error
    assert manage("backup", "download", str(backup.pk), str(target)).code == USAGE


def test_a_damaged_archive_leaves_no_file(manage: Run, tmp_path: Path) -> None:
    backup, target = stored(), tmp_path / "backup.tar"
    Backup.objects.update(sha256="0" * 64)
    answer = manage("backup", "download", str(backup.pk), str(target))
    assert (answer.code, "is damaged" in answer.error) == (FAILED, True)
    missing = manage("backup", "download", str(make_backup().pk), str(target))
    assert (missing.code, "There is no backup" in missing.error) == (FAILED, True)
    assert manage("backup", "download", str(backup.pk), str(tmp_path / "no" / "file")).code == FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["backups"]


def test_delete_asks_first_and_not_while_it_is_needed(manage: Run) -> None:
    backup = stored()
    assert manage("backup", "delete", str(backup.pk)).code == USAGE
    operation = make_operation(kind=OperationKind.VERIFY, backup=backup, version=backup.version, host=backup.host)
    assert manage("backup", "delete", str(backup.pk), "--yes").code == FAILED
    operation.delete()
    assert manage("backup", "delete", str(backup.pk), "--yes").code == 0
    assert not Backup.objects.exists()
    assert archives.store().names() == []


def test_verify_files_a_verification(manage: Run) -> None:
    document = json.loads(manage("backup", "verify", str(stored().pk), "--json").out)
    assert document["kind"] == "verify"


@pytest.mark.parametrize("action", ["restore", "delete", "verify", "download"])
@pytest.mark.parametrize("number", ["4711", str(2**70)])
def test_what_there_is_not_is_not_found(manage: Run, action: str, number: str) -> None:
    assert manage("backup", action, number, *(["-"] if action == "download" else [])).code == NOT_FOUND


def test_bring_back_takes_the_newest_backup_or_another(manage: Run, removed: Instance) -> None:
    older, newer = stored(instance=removed), stored(instance=removed)
    assert manage("instance", "bring-back", "spring", "--backup", str(stored().pk)).code == NOT_FOUND
    assert manage("instance", "bring-back", "spring", "--backup", str(older.pk)).code == 0
    assert Operation.objects.get().backup == older
    assert manage("instance", "bring-back", "spring").code == NOT_FOUND  # it is back
    assert newer.pk


def test_bring_back_of_several_with_the_same_name_takes_an_id(manage: Run, removed: Instance) -> None:
    other = make_installed(slug="spring", domain=removed.domain, removed_at=timezone.now())
    stored(instance=removed)
    answer = manage("instance", "bring-back", str(removed))
    assert (answer.code, removed.pk in answer.error, other.pk in answer.error) == (USAGE, True, True)
    assert manage("instance", "bring-back", removed.pk).code == 0


def test_purge_asks_first(manage: Run, removed: Instance) -> None:
    stored(instance=removed)
    present = make_installed(slug="assembly")
    assert manage("instance", "purge", "spring").code == USAGE
    assert not Operation.objects.exists()
    for name in ("spring", "assembly"):
        assert manage("instance", "purge", name, "--yes").code == 0
    assert {operation.instance for operation in Operation.objects.filter(kind="purge")} == {removed, present}
    assert manage("instance", "purge", "unknown", "--yes").code == NOT_FOUND
