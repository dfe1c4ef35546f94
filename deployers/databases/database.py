"""The part of a deployer that knows databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployers.spec import OrphanSpec, VersionSpec

Value = str | int | None


@dataclass(frozen=True)
class Update:
    """A change of exactly one row. Table and column names are constants of ours, values are anybody's."""

    table: str
    values: Mapping[str, Value]
    where: Mapping[str, Value]


class Database(Protocol):
    """One database, whether it exists or not."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def django(self, password: str = "") -> dict[str, object]:
        """Django's setting DATABASES["default"]; ``password``: of the account that owns it."""
        ...

    def exists(self) -> bool: ...

    def apply(self, updates: Iterable[Update], *, empty: Iterable[str] = ()) -> None:
        """Change the rows and empty the tables ``empty``, in one transaction.

        Raises RowMissing (an update that did not meet exactly one row), UsernameTaken, DatabaseUnusable.
        """
        ...

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Value, ...]]:
        """Every row of a table. Raises DatabaseUnusable."""
        ...

    def count(self, table: str) -> int:
        """How many rows a table has. Raises DatabaseUnusable."""
        ...

    def size(self) -> int:
        """Bytes on the disk. Raises DatabaseUnusable."""
        ...

    def check(self) -> None:
        """Raises DatabaseUnusable if it is damaged."""
        ...


class DatabaseServer(Protocol):
    """All databases of one kind. Each method may be called again after it was interrupted.

    ``has_accounts``: each database belongs to an account of its own.
    """

    @property
    def has_accounts(self) -> bool: ...

    def template(self, version: VersionSpec) -> Database: ...

    def instance(self, instance_id: str) -> Database: ...

    def draft(self, instance_id: str) -> Database:
        """What an instance's database is made in, before it takes its place."""
        ...

    def kept(self, instance_id: str, token: str) -> Database:
        """The copy from before the update ``token``."""
        ...

    def copy_closed(self, source: Database, target: Database) -> None:
        """Copy a database that nobody has open, the quickest way; a target that exists is replaced."""
        ...

    def copy_live(self, source: Database, target: Database) -> None:
        """Copy a database that was perhaps not closed properly; a target that exists is replaced."""
        ...

    def replace(self, source: Database, target: Database) -> None:
        """``target`` becomes ``source``, which is gone then. Nobody may have ``target`` open."""
        ...

    def drop(self, database: Database) -> None: ...

    def admit(self, database: Database, password: str, processes: int = 1) -> None:
        """Make the account that owns an instance's or a template's database, or set its password.

        ``processes``: how many use it at a time; no account gets more connections than these need.
        """
        ...

    def dismiss(self, database: Database) -> None:
        """That account may not log in any more."""
        ...

    def forget(self, instance_id: str) -> None:
        """Drop the instance's databases and its account, as far as they lie outside of its directory."""
        ...

    def drop_kept(self, instance_id: str, except_token: str | None) -> None:
        """Drop the copies from before updates, but for one."""
        ...

    def make_empty(self, database: Database, password: str) -> None:
        """Make a database without a table, and the account that owns it; one that exists is replaced."""
        ...

    def found(self) -> list[OrphanSpec]:
        """Every database and account of instances that does not lie in an instance's directory."""
        ...

    def dump(self, database: Database, target: Path) -> None:
        """Write the database, as it is at one moment, to the file ``target``; somebody may use it meanwhile.

        Raises DatabaseUnusable, CommandFailed, OSError.
        """
        ...

    def load(self, source: Path, database: Database, password: str) -> None:
        """Make ``database`` of such a file; one that exists is replaced. ``password``: of the account that owns it.

        Raises DatabaseUnusable, CommandFailed, OSError.
        """
        ...

    def files(self, database: Database) -> tuple[Path, ...]:
        """The file that OpenSlides must be able to change, if the database is one and exists."""
        ...
