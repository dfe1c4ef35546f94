"""A backup counts as damaged when its archive is bad, and not when something kept it from being verified."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deployers.backups import archive as tar
from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
from deployers.backups.verifying import CORE_TABLES, Verifier
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.errors import (
    ArchiveDamaged,
    ArchiveMissing,
    ArchiveUnfit,
    CommandFailed,
    CommandTimedOut,
    DatabaseServerUnusable,
    DatabaseUnusable,
    NoRoom,
    NotPrepared,
    StoreFailed,
)
from deployers.interruption import Interrupted
from deployers.plan import Log, Step
from deployers.spec import VersionSpec
from instances import operations, runner
from instances.choices import Outcome, Preparation
from instances.models import Backup, Operation
from instances.operations import SYSTEM
from tests.factories import make_backup, make_version

VERSION = VersionSpec("3.3", "pypi:openslides==3.3", "virtualenv")


def verified(backup: Backup, error: Exception) -> Backup:
    """After a verification whose first step raised the error."""

    def fail(log: Log) -> None:
        raise error

    operation = operations.verify(backup, SYSTEM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: (Step("read", fail),))
        runner.run(operation.pk)
    operation.refresh_from_db()
    assert operation.status == Outcome.FAILED
    assert operation.error
    backup.refresh_from_db()
    return backup


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "error",
    [
        StoreFailed("the disk is not there"),
        OSError(errno.ENOSPC, "No space left on device"),
        NoRoom("/srv", 1, 2),
        DatabaseServerUnusable("x", "it is being restarted"),
        DatabaseUnusable("x", "database is locked"),
        CommandFailed("pg_restore", 1, "connection to server failed"),
        CommandTimedOut("pg_restore", 3600, ""),
        Interrupted("It took too long."),
        NotPrepared("3.3", "its files"),
        KeyError("a defect"),
    ],
)
def test_what_keeps_a_backup_from_being_verified_says_nothing_of_it(error: Exception) -> None:
    backup = verified(make_backup(), error)
    assert (backup.problem, backup.verified_at) == ("", None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "error", [ArchiveMissing("x"), ArchiveDamaged("x", "its end is missing"), ArchiveUnfit("x", "")]
)
def test_a_bad_archive_is_written_down(error: Exception) -> None:
    backup = verified(make_backup(), error)
    assert backup.problem == str(error)
    assert backup.verified_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_version_that_cannot_be_prepared_makes_no_backup_damaged() -> None:
    backup = make_backup()
    version = make_version(preparation=Preparation.NONE)
    Backup.objects.filter(pk=backup.pk).update(version=version)
    backup.refresh_from_db()
    verification = operations.verify(backup, SYSTEM)
    preparation = Operation.objects.get(pk=verification.waits_for_id)

    def fail(log: Log) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: (Step("install", fail),))
        runner.run(preparation.pk)
    verification.refresh_from_db()
    backup.refresh_from_db()
    assert verification.status == Outcome.FAILED
    assert backup.problem == ""


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[Verifier]:
    archive = Archive(FolderStore(tmp_path / "backups"), "x/1.tar")
    # A unix socket's path has 107 bytes at most (unix(7)).
    with tempfile.TemporaryDirectory(prefix="mi-") as short:
        deployer = embedded_deployer(EmbeddedSettings(data_dir=Path(short)))
        yield Verifier(deployer.parts, VERSION, "sqlite", archive)  # type: ignore[attr-defined]


def write(verifier: Verifier, database: Path) -> None:
    with tar.writing(verifier.archive) as writer:
        writer.manifest(tar.Manifest(1, "", "", "", "3.3", "3.3", "", "sqlite", "", ""))
        writer.file(tar.DATABASE, database)


def verify(verifier: Verifier) -> None:
    for step in verifier.plan():
        step.do(lambda text: None)


def make_database(path: Path, *tables: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id integer)")
            connection.execute(f"INSERT INTO {table} VALUES (1)")
        connection.commit()
    return path


def test_a_whole_one_passes(verifier: Verifier, tmp_path: Path) -> None:
    write(verifier, make_database(tmp_path / "database", *CORE_TABLES))
    verify(verifier)


def test_one_whose_database_is_none_or_lacks_a_table_is_damaged(verifier: Verifier, tmp_path: Path) -> None:
    """Its checksums are right: it was written so."""
    write(verifier, make_database(tmp_path / "database", *CORE_TABLES[1:]))
    with pytest.raises(ArchiveDamaged, match="no such table"):
        verify(verifier)
    (tmp_path / "database").write_bytes(b"This is no database." * 100)
    write(verifier, tmp_path / "database")
    with pytest.raises(ArchiveDamaged, match="not a database"):
        verify(verifier)
