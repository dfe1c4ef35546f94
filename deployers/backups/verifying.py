"""The proof of a backup: it is restored for real, into a database that nobody uses, and read."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployers.backups import archive as tar
from deployers.backups.instance import refuse_unfit
from deployers.backups.store import Archive
from deployers.databases.database import DatabaseServer
from deployers.errors import (
    ArchiveDamaged,
    DatabaseServerUnusable,
    DatabaseUnusable,
    DumpRefused,
    UnknownDatabase,
)
from deployers.files import make_private_directory, remove_tree
from deployers.parts import Parts
from deployers.plan import Log, Plan, Step
from deployers.spec import VersionSpec

ID_DIGITS = 32
CORE_TABLES = ("users_user", "users_group", "core_configstore", "django_migrations")
"""Tables that every OpenSlides of ours has, and in which there is always a row."""


def scratch_id(name: str) -> str:
    """Under which id an archive is restored to be verified.

    Like an instance's, so that names and directories are made as for one; of the archive's name, so that a plan
    which is run again after an interruption finds what it left.
    """
    return hashlib.sha256(name.encode()).hexdigest()[:ID_DIGITS]


class Verifier:
    """Makes the plan for the verification of one archive."""

    def __init__(self, parts: Parts, version: VersionSpec, db: str, archive: Archive) -> None:
        """Raises UnknownDatabase."""
        if db not in parts.databases:
            raise UnknownDatabase(db, tuple(parts.databases))
        self.parts = parts
        self.version = version
        self.db = db
        self.archive = archive
        self.scratch = scratch_id(archive.name)

    @property
    def databases(self) -> DatabaseServer:
        return self.parts.databases[self.db]

    @property
    def directory(self) -> Path:
        return self.parts.layout.instance(self.scratch).directory

    def plan(self) -> Plan:
        def clean(log: Log) -> None:
            self._clean()

        return (
            Step("read the backup and its checksums", self._read, clean),
            Step("restore its database", self._load, clean),
            Step("read the database", self._look),
            Step("drop the database again", clean),
        )

    def _read(self, log: Log) -> None:
        self._clean()
        manifest = refuse_unfit(self.parts, self.version, self.db, self.archive)
        make_private_directory(self.directory)
        tar.extract(self.archive, self.directory, None)
        log(f"Made on {manifest.created_at}, with OpenSlides {manifest.release}.\n")

    def _load(self, log: Log) -> None:
        make_private_directory(self.parts.layout.instance(self.scratch).data)
        nobody_knows = secrets.token_urlsafe(32)
        with self._blaming_the_archive():
            self.databases.load(self.directory / tar.DATABASE, self.databases.draft(self.scratch), nobody_knows)

    def _look(self, log: Log) -> None:
        draft = self.databases.draft(self.scratch)
        with self._blaming_the_archive():
            draft.check()
        for table in CORE_TABLES:
            with self._blaming_the_archive():
                count = draft.count(table)
            if count == 0:
                raise ArchiveDamaged(self.archive.name, f"its table {table} is empty")
            log(f"{table}: {count} rows\n")

    @contextmanager
    def _blaming_the_archive(self) -> Iterator[None]:
        """Raises ArchiveDamaged for what is wrong with the data, and lets pass what is wrong with the host."""
        try:
            yield
        except DumpRefused as error:
            raise ArchiveDamaged(self.archive.name, f"its database cannot be restored: {error}") from error
        except (DatabaseUnusable, DatabaseServerUnusable) as error:
            if error.damaged:
                raise ArchiveDamaged(self.archive.name, f"its database cannot be read: {error.reason}") from error
            raise

    def _clean(self) -> None:
        self.databases.drop(self.databases.draft(self.scratch))
        self.databases.forget(self.scratch)
        remove_tree(self.directory)
