"""Database server ``postgresql``: a database and a role per instance, both with its name.

The control plane's role may make databases and roles (CREATEDB, CREATEROLE), and is no superuser. It owns no table of
an instance: it is a member of the instance's role, by which it writes accounts and event. Whoever logs in with a
password (instances, and templates while they are built) is a member of GROUP, which pg_hba.conf lets in by unix socket
only, and only to a database whose name is a role that he is a member of (``samerole``).

A template database is the control plane's own, and what is in it its account's: REASSIGN OWNED, which gives the
contents of a copy to the instance, moves databases of the account as well, so it must have none.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import errors as pg
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import encrypt_password

from deployers import interruption
from deployers.databases.database import Database, Update, Value
from deployers.databases.postgresql_archives import dump, restore
from deployers.databases.postgresql_server import Server
from deployers.errors import RowMissing, UsernameTaken
from deployers.layout import checked_id
from deployers.spec import OrphanSpec, VersionSpec

GROUP = "openslides_instances"
ENGINE = "openslides_host.postgresql"
"""Django's PostgreSQL engine, made to work with a psycopg2 that is newer than OpenSlides' Django: ``inside/``."""
MAKER_ADMINISTERS = 160000
"""PostgreSQL 16 gives who makes a role the right to administer it, and refuses that it is given again."""
TOKEN_DIGITS = 8
TEMPLATE_DIGITS = 16
OF_INSTANCE = re.compile(r"openslides_([0-9a-f]{32})(?=\Z|_)")
CONNECTIONS = 40
"""Of a role at a time, for each server process: Python's default executor has up to 32 threads, and each may hold one.
No instance must take all that PostgreSQL gives, and the control plane's with them."""
BUSY_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """One database. ``owner``: the role that OpenSlides logs in with. ``role``: one that goes with the database."""

    server: Server
    name: str
    owner: str
    role: str | None = None

    def django(self, password: str = "") -> dict[str, object]:
        return {
            "ENGINE": ENGINE,
            "NAME": self.name,
            "USER": self.owner,
            "PASSWORD": password,
            "HOST": self.server.instance_host,
            "PORT": str(self.server.port),
            "CONN_MAX_AGE": 0,
        }

    def exists(self) -> bool:
        with self.server.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.name])
            return cursor.fetchone() is not None

    def apply(self, updates: Iterable[Update], *, empty: Iterable[str] = ()) -> None:
        with self.server.connection(self.name) as connection:
            connection.autocommit = False
            with connection, connection.cursor() as cursor:
                for table in empty:
                    cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                for update in updates:
                    _apply(cursor, update)

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Value, ...]]:
        names = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
        with self.server.connection(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(table)))
            return list(cursor.fetchall())

    def count(self, table: str) -> int:
        return self._number(self.name, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))

    def size(self) -> int:
        return self._number("", sql.SQL("SELECT pg_database_size({})").format(sql.Literal(self.name)))

    def _number(self, database: str, query: sql.Composed) -> int:
        with self.server.connection(database) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    def check(self) -> None:
        with self.server.connection(self.name) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")


class PostgresServer:
    """See the module. Holds no connection, so it may be used by several threads."""

    has_accounts = True

    def __init__(self, server: Server) -> None:
        self.server = server

    def template(self, version: VersionSpec) -> PostgresDatabase:
        name = f"openslides_template_{_digest(version.directory_name, TEMPLATE_DIGITS)}"
        return PostgresDatabase(self.server, name, owner=name, role=name)

    def instance(self, instance_id: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, role, owner=role)

    def draft(self, instance_id: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, f"{role}_draft", owner=role, role=f"{role}_draft")

    def kept(self, instance_id: str, token: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, f"{role}_kept_{_digest(token, TOKEN_DIGITS)}", owner=role)

    def admit(self, database: Database, password: str, processes: int = 1) -> None:
        with self.server.connection() as connection:
            _admit(connection, _mine(database).owner, password, processes)

    def dismiss(self, database: Database) -> None:
        owner = _mine(database).owner
        with self.server.connection() as connection:
            if _present(connection, owner).roles:
                _run(connection, "ALTER ROLE {} NOLOGIN", owner)
                _end_sessions(connection, "usename", owner)

    def make_empty(self, database: Database, password: str) -> None:
        mine = _mine(database)
        with self.server.connection() as connection:
            _drop(connection, mine.name)
            _admit(connection, mine.owner, password)
            _run(connection, "CREATE DATABASE {}", mine.name)
            _run(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", mine.name)
            _run(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", mine.name, mine.owner)
        with self.server.connection(mine.name) as connection:
            # The owner, not one with a right to it: in copies a right would keep the role from being dropped.
            _run(connection, "ALTER SCHEMA public OWNER TO {}", mine.owner)

    def copy_closed(self, source: Database, target: Database) -> None:
        """CREATE DATABASE copies a database that nobody has open; who has it for a moment is waited for."""
        self._copy(_mine(source), _mine(target), evict=False)

    def copy_live(self, source: Database, target: Database) -> None:
        self._copy(_mine(source), _mine(target), evict=True)

    def _copy(self, origin: PostgresDatabase, copy: PostgresDatabase, *, evict: bool) -> None:
        with self.server.connection() as connection:
            _drop(connection, copy.name)
            _copy_when_unused(connection, origin.name, copy, evict=evict)
            _run(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", copy.name)
            if origin.owner == copy.owner and copy.role is not None and not _present(connection, copy.role).roles:
                # An instance's data in a draft: OpenSlides will log in to migrate it, so there must be a role with the
                # database's name that it is a member of (pg_hba.conf, samerole).
                _run(connection, "CREATE ROLE {} NOLOGIN ROLE {}", copy.role, copy.owner)
        if origin.owner != copy.owner:
            with self.server.connection(copy.name) as connection:
                _run(connection, "REASSIGN OWNED BY {} TO {}", origin.owner, copy.owner)

    def replace(self, source: Database, target: Database) -> None:
        """In one transaction: whoever is interrupted has the old database, or the new one."""
        origin, place = _mine(source), _mine(target)
        old = f"{place.name}_old"
        with self.server.connection() as connection:
            found = _present(connection, place.name, old, *(role for role in (origin.role, place.role) if role))
            if old in found.databases | found.roles:
                _drop_with_role(connection, old)
            _end_sessions(connection, "datname", origin.name, place.name)
            with _transaction(connection):
                if place.name in found.databases:
                    _run(connection, "ALTER DATABASE {} RENAME TO {}", place.name, old)
                if place.role is not None:
                    if place.role in found.roles:
                        _run(connection, "ALTER ROLE {} RENAME TO {}", place.role, old)
                    _run(connection, "ALTER ROLE {} RENAME TO {}", origin.owner, place.role)
                _run(connection, "ALTER DATABASE {} RENAME TO {}", origin.name, place.name)
            if place.name in found.databases:
                _drop(connection, old)
            if place.role in found.roles:
                _run(connection, "DROP ROLE {}", old)
            if place.role is None and origin.role in found.roles:
                _run(connection, "DROP ROLE {}", origin.role)

    def drop(self, database: Database) -> None:
        """An instance's own role stays: drafts and copies come and go."""
        mine = _mine(database)
        with self.server.connection() as connection:
            for name in (mine.name, f"{mine.name}_old"):
                _drop(connection, name)
            if mine.role is not None:
                _run(connection, "DROP ROLE IF EXISTS {}, {}", mine.role, f"{mine.role}_old")

    def drop_kept(self, instance_id: str, except_token: str | None) -> None:
        stays = self.kept(instance_id, except_token).name if except_token is not None else ""
        with self.server.connection() as connection:
            for name in _beginning(connection, f"{_role(instance_id)}_kept_").databases:
                if name != stays:
                    _drop(connection, name)

    def forget(self, instance_id: str) -> None:
        with self.server.connection() as connection:
            found = _beginning(connection, _role(instance_id))
            for name in filter(OF_INSTANCE.match, found.databases):
                _drop(connection, name)
            for name in filter(OF_INSTANCE.match, found.roles):
                _run(connection, "DROP ROLE IF EXISTS {}", name)

    def found(self) -> list[OrphanSpec]:
        with self.server.connection() as connection:
            there = _beginning(connection, "openslides_")
        return [
            OrphanSpec(kind, name, match[1])
            for kind, names in (("database", there.databases), ("role", there.roles))
            for name in names
            if (match := OF_INSTANCE.match(name)) is not None
        ]

    def dump(self, database: Database, target: Path) -> None:
        dump(self.server, _mine(database).name, target)

    def load(self, source: Path, database: Database, password: str) -> None:
        mine = _mine(database)
        with self.server.connection() as connection:
            _admit(connection, mine.owner, password)
            _drop(connection, mine.name)
            _run(connection, "CREATE DATABASE {} OWNER {}", mine.name, mine.owner)
            _run(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", mine.name)
        with self.server.connection(mine.name) as connection:
            _run(connection, "ALTER SCHEMA public OWNER TO {}", mine.owner)
        restore(self.server, source, mine.name, mine.owner)

    def files(self, database: Database) -> tuple[Path, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Found:
    """Names of databases and roles that there are."""

    databases: frozenset[str]
    roles: frozenset[str]


def _mine(database: Database) -> PostgresDatabase:
    assert isinstance(database, PostgresDatabase)
    return database


def _role(instance_id: str) -> str:
    return f"openslides_{checked_id(instance_id)}"


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _run(connection: Connection, statement: str, *names: str) -> None:
    """A statement of ours, with names quoted."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


def _admit(connection: Connection, role: str, password: str, processes: int = 1) -> None:
    # The verifier (RFC 5803), so that the password is in no statement that might be logged.
    verifier = sql.Literal(encrypt_password(password, role, connection, "scram-sha-256"))
    name, group = sql.Identifier(role), sql.Identifier(GROUP)
    limit = sql.Literal(CONNECTIONS * processes)
    with connection.cursor() as cursor:
        if _present(connection, role).roles:
            statement = "ALTER ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}"
            cursor.execute(sql.SQL(statement).format(name, verifier, limit))
            return
        # All in one statement, so a role that is there is complete. The control plane is a member, so that it may write
        # rows and give databases to it; as its administrator also after an update of PostgreSQL to 16.
        member = "ROLE" if connection.server_version >= MAKER_ADMINISTERS else "ADMIN"
        statement = "CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {} IN ROLE {} " + member + " CURRENT_USER"
        cursor.execute(sql.SQL(statement).format(name, verifier, limit, group))


def _apply(cursor: psycopg2.extensions.cursor, update: Update) -> None:
    values = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in update.values)
    where = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in update.where)
    statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(sql.Identifier(update.table), values, where)
    try:
        cursor.execute(statement, [*update.values.values(), *update.where.values()])
    except pg.UniqueViolation as error:
        if "username" in update.values:
            raise UsernameTaken(str(update.values["username"])) from error
        raise
    if cursor.rowcount != 1:
        condition = " and ".join(f"{column} = {value!r}" for column, value in update.where.items())
        raise RowMissing(update.table, condition, cursor.rowcount)


def _copy_when_unused(connection: Connection, source: str, copy: PostgresDatabase, *, evict: bool) -> None:
    """``evict``: end the sessions of who uses the source, each time that somebody does."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        if evict:
            _end_sessions(connection, "datname", source)
        try:
            return _run(connection, "CREATE DATABASE {} OWNER {} TEMPLATE {}", copy.name, copy.owner, source)
        except pg.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            interruption.sleep(POLL_SECONDS)


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.autocommit = False
    with connection:
        yield
    connection.autocommit = True


def _drop(connection: Connection, name: str) -> None:
    try:
        _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    except pg.InsufficientPrivilege:
        # Autovacuum is in it, whom nobody but a superuser may end by force. Asked without force, it goes.
        _end_sessions(connection, "datname", name)
        _run(connection, "DROP DATABASE IF EXISTS {}", name)


def _drop_with_role(connection: Connection, name: str) -> None:
    _drop(connection, name)
    _run(connection, "DROP ROLE IF EXISTS {}", name)


def _end_sessions(connection: Connection, column: str, *names: str) -> None:
    """Those of instances and our own. ``column``: of pg_stat_activity. Autovacuum has no role, and goes when asked."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                "WHERE {} = ANY(%s) AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE')"
            ).format(sql.Identifier(column)),
            [list(names)],
        )


def _present(connection: Connection, *names: str) -> Found:
    return _found(connection, sql.SQL("{} = ANY(%s)"), list(names))


def _beginning(connection: Connection, prefix: str) -> Found:
    return _found(connection, sql.SQL("starts_with({}, %s)"), prefix)


def _found(connection: Connection, condition: sql.SQL, value: str | list[str]) -> Found:
    """One query for both."""
    query = "SELECT datname, NULL FROM pg_database WHERE {} UNION ALL SELECT NULL, rolname FROM pg_roles WHERE {}"
    conditions = (condition.format(sql.Identifier(column)) for column in ("datname", "rolname"))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(*conditions), [value, value])
        rows = cursor.fetchall()
    return Found(
        frozenset(str(database) for database, _role in rows if database is not None),
        frozenset(str(role) for _database, role in rows if role is not None),
    )
