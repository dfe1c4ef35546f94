"""Database server ``sqlite``: a file per instance."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from deployers import interruption
from deployers.databases.database import Database, Update, Value
from deployers.errors import DatabaseUnusable, RowMissing, UsernameTaken
from deployers.files import PRIVATE_FILE, copy_private
from deployers.layout import Layout
from deployers.spec import OrphanSpec, VersionSpec

BUSY_SECONDS = 20.0
"""How long a process waits for another's transaction."""

PAGES_AT_ONCE = 1000
"""So many (of 4 KiB mostly) are copied before the copy asks whether its step was ended."""
OF_THE_CONTENTS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""sqlite.org/rescode.html: no such table; malformed; no database. The others are of disk, rights and locks."""

SIDE_FILES = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a database (sqlite.org/tempfiles.html). One that is left over would be played into the
database that comes next under the same name."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """One database file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def django(self, password: str = "") -> dict[str, object]:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self.path),
            "OPTIONS": {"timeout": BUSY_SECONDS},
        }

    def exists(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file, which must exist; what it does ends when the step is ended.

        Raises DatabaseUnusable for whatever SQLite raises inside, Interrupted.
        """
        if not self.exists():
            raise DatabaseUnusable(self.name, "there is no such file")
        bell = interruption.current()
        try:
            with (
                closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection,
                bell.calls(lambda: _interrupt(connection)) if bell else nullcontext(),
            ):
                yield connection
        except sqlite3.Error as error:
            interruption.check()
            damaged = getattr(error, "sqlite_errorcode", None) in OF_THE_CONTENTS
            raise DatabaseUnusable(self.name, str(error), damaged) from error

    def apply(self, updates: Iterable[Update], *, empty: Iterable[str] = ()) -> None:
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in empty:
                connection.execute(f'DELETE FROM "{table}"')
            for update in updates:
                _apply(connection, update)
            connection.execute("COMMIT")

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Value, ...]]:
        names = ", ".join(f'"{column}"' for column in columns)
        with self.connection() as connection:
            return connection.execute(f'SELECT {names} FROM "{table}"').fetchall()

    def count(self, table: str) -> int:
        with self.connection() as connection:
            (count,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        return int(count)

    def size(self) -> int:
        """Raises OSError."""
        return self.path.stat().st_size

    def check(self) -> None:
        with self.connection() as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DatabaseUnusable(self.name, str(verdict), damaged=True)


def _interrupt(connection: sqlite3.Connection) -> None:
    """In the thread of whoever rings: the one method that another thread may call. It may be closed in this moment."""
    with suppress(sqlite3.ProgrammingError):
        connection.interrupt()


def _apply(connection: sqlite3.Connection, update: Update) -> None:
    values = ", ".join(f'"{column}" = ?' for column in update.values)
    where = " AND ".join(f'"{column}" = ?' for column in update.where)
    statement = f'UPDATE "{update.table}" SET {values} WHERE {where}'
    try:
        cursor = connection.execute(statement, [*update.values.values(), *update.where.values()])
    except sqlite3.IntegrityError as error:
        if "username" in update.values and "UNIQUE" in str(error):
            raise UsernameTaken(str(update.values["username"])) from error
        raise
    if cursor.rowcount != 1:
        condition = " and ".join(f"{column} = {value!r}" for column, value in update.where.items())
        raise RowMissing(update.table, condition, cursor.rowcount)


class SqliteServer:
    """See the module."""

    has_accounts = False

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def template(self, version: VersionSpec) -> SqliteFile:
        return SqliteFile(self.layout.version(version).template)

    def instance(self, instance_id: str) -> SqliteFile:
        return SqliteFile(self.layout.instance(instance_id).database)

    def draft(self, instance_id: str) -> SqliteFile:
        return SqliteFile(self.layout.instance(instance_id).database.with_suffix(".draft"))

    def kept(self, instance_id: str, token: str) -> SqliteFile:
        return SqliteFile(self.layout.instance(instance_id).previous / token / "database.sqlite")

    def copy_closed(self, source: Database, target: Database) -> None:
        """Raises DatabaseUnusable, OSError."""
        origin, destination = _path(source), _path(target)
        if not origin.is_file():
            raise DatabaseUnusable(source.name, "there is no such file")
        _remove(destination)
        copy_private(origin, destination)

    def copy_live(self, source: Database, target: Database) -> None:
        """SQLite's online backup (sqlite.org/backup.html): complete, also with a journal beside the source."""
        destination = _path(target)
        _remove(destination)
        destination.touch(PRIVATE_FILE)
        with SqliteFile(_path(source)).connection() as origin, SqliteFile(destination).connection() as copy:
            # Between two portions another one could write, and the copy would begin anew, again and again: so it is one
            # transaction. A transaction begins with the first read.
            origin.execute("BEGIN")
            origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
            origin.backup(copy, pages=PAGES_AT_ONCE, progress=lambda status, left, total: interruption.check())
            origin.execute("COMMIT")

    def replace(self, source: Database, target: Database) -> None:
        origin, destination = _path(source), _path(target)
        for side in SIDE_FILES:
            destination.with_name(destination.name + side).unlink(missing_ok=True)
        origin.replace(destination)

    def drop(self, database: Database) -> None:
        _remove(_path(database))

    def admit(self, database: Database, password: str, processes: int = 1) -> None:
        """Files have no accounts."""

    def dismiss(self, database: Database) -> None:
        """Files have no accounts."""

    def forget(self, instance_id: str) -> None:
        """All of them lie in the instance's directory."""

    def drop_kept(self, instance_id: str, except_token: str | None) -> None:
        """They lie in the directories of ``previous/``."""

    def make_empty(self, database: Database, password: str) -> None:
        """sqlite.org/fileformat.html: a file of no bytes is a database without a table."""
        path = _path(database)
        _remove(path)
        path.touch(PRIVATE_FILE)

    def found(self) -> list[OrphanSpec]:
        """All of them lie in the instances' directories."""
        return []

    def dump(self, database: Database, target: Path) -> None:
        self.copy_live(database, SqliteFile(target))

    def load(self, source: Path, database: Database, password: str) -> None:
        self.copy_closed(SqliteFile(source), database)
        database.check()

    def files(self, database: Database) -> tuple[Path, ...]:
        return (_path(database),) if database.exists() else ()


def _path(database: Database) -> Path:
    assert isinstance(database, SqliteFile)
    return database.path


def _remove(path: Path) -> None:
    for name in (path.name, *(path.name + side for side in SIDE_FILES)):
        path.with_name(name).unlink(missing_ok=True)
