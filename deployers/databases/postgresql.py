"""Database server ``postgresql``: a database and a role per instance, both with its name.

The control plane's role may make databases and roles (CREATEDB, CREATEROLE), and is no superuser. It owns no table of
an instance: it is a member of the instance's role, by which it writes accounts and event. Whoever logs in with a
password (instances, and templates while they are built) is a member of GROUP, which pg_hba.conf lets in by unix socket
only, and only to a database whose name is a role that he is a member of (``samerole``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from psycopg2 import errors as pg
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import encrypt_password

from deployers.databases.database import Database, Update, Value
from deployers.errors import DatabaseServerUnusable, RowMissing, UsernameTaken
from deployers.layout import checked_id
from deployers.spec import VersionSpec

GROUP = "openslides_instances"
ENGINE = "openslides_host.postgresql"
"""Django's PostgreSQL engine, made to work with a psycopg2 that is newer than OpenSlides' Django: ``inside/``."""
TOKEN_DIGITS = 8
TEMPLATE_DIGITS = 16
BUSY_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """How the control plane reaches PostgreSQL, and (``instance_host``) instances do: a directory of unix sockets."""

    host: str
    user: str
    database: str
    port: int = 5432
    password: str = field(default="", repr=False)
    instance_host: str = "/run/postgresql"

    @contextmanager
    def connection(self, database: str = "") -> Iterator[Connection]:
        """An open connection in autocommit mode. Raises DatabaseServerUnusable for whatever goes wrong inside."""
        name = database or self.database
        try:
            connection = psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password or None,
                dbname=name,
                application_name="openslides-multiinstance",
                connect_timeout=10,
            )
            with closing(connection):
                connection.autocommit = True
                yield connection
        except psycopg2.Error as error:
            raise DatabaseServerUnusable(name, _reason(error)) from error


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """One database. ``name``: also of the role that logs in to it, but for drafts: they belong to the instance's."""

    server: Server
    name: str
    owner: str

    def django(self, password: str = "") -> dict[str, object]:
        return {
            "ENGINE": ENGINE,
            "NAME": self.name,
            "USER": self.owner,
            "PASSWORD": password,
            "HOST": self.server.instance_host,
            "PORT": str(self.server.port),
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
        return PostgresDatabase(self.server, name, name)

    def instance(self, instance_id: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, role, role)

    def draft(self, instance_id: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, f"{role}_draft", role)

    def kept(self, instance_id: str, token: str) -> PostgresDatabase:
        role = _role(instance_id)
        return PostgresDatabase(self.server, f"{role}_kept_{_digest(token, TOKEN_DIGITS)}", role)

    def admit(self, database: Database, password: str) -> None:
        with self.server.connection() as connection:
            self._admit(connection, _mine(database), password)

    def dismiss(self, database: Database) -> None:
        mine = _mine(database)
        with self.server.connection() as connection:
            if _role_exists(connection, mine.owner):
                _run(connection, "ALTER ROLE {} NOLOGIN", mine.owner)
            _end_sessions(connection, mine.name)

    def make_empty(self, database: Database, password: str) -> None:
        mine = _mine(database)
        with self.server.connection() as connection:
            self._admit(connection, mine, password)
            # Owned by the control plane: a later REASSIGN OWNED moves databases, too, and must find none.
            _run(connection, "CREATE DATABASE {}", mine.name)
            _run(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", mine.name)
            _run(connection, "GRANT ALL ON DATABASE {} TO {}", mine.name, mine.owner)
        with self.server.connection(mine.name) as connection:
            _run(connection, "GRANT ALL ON SCHEMA public TO {}", mine.owner)

    def copy_closed(self, source: Database, target: Database) -> None:
        """CREATE DATABASE copies files when nobody has the source open; who has it for a moment is waited for."""
        origin, copy = _mine(source), _mine(target)
        with self.server.connection() as connection:
            _drop(connection, copy.name)
            if not _role_exists(connection, copy.owner):
                raise DatabaseServerUnusable(copy.name, f"the role {copy.owner} is missing; start the operation again")
            if copy.name != copy.owner and not _role_exists(connection, copy.name):
                # pg_hba.conf, samerole: who is to log in to a database must be a member of a role with its name.
                _run(connection, "CREATE ROLE {} NOLOGIN", copy.name)
                _run(connection, "GRANT {} TO {}", copy.name, copy.owner)
            _wait_for_source(connection, origin.name, copy.name)
            _run(connection, "ALTER DATABASE {} OWNER TO {}", copy.name, copy.owner)
            _run(connection, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", copy.name)
        if origin.owner != copy.owner:
            with self.server.connection(copy.name) as connection:
                _run(connection, "REASSIGN OWNED BY {} TO {}", origin.owner, copy.owner)
                _run(connection, "GRANT ALL ON SCHEMA public TO {}", copy.owner)

    def copy_live(self, source: Database, target: Database) -> None:
        with self.server.connection() as connection:
            _end_sessions(connection, _mine(source).name)
        self.copy_closed(source, target)

    def replace(self, source: Database, target: Database) -> None:
        origin, place = _mine(source), _mine(target)
        with self.server.connection() as connection:
            _end_sessions(connection, origin.name)
            _drop(connection, place.name)
            _run(connection, "ALTER DATABASE {} RENAME TO {}", origin.name, place.name)
            if origin.owner != place.owner:  # templates: their roles have their names
                _run(connection, "DROP ROLE IF EXISTS {}", place.owner)
                _run(connection, "ALTER ROLE {} RENAME TO {}", origin.owner, place.owner)

    def drop(self, database: Database) -> None:
        mine = _mine(database)
        with self.server.connection() as connection:
            _drop(connection, mine.name)
            # An instance's own role stays: drafts and copies come and go.
            if mine.name != mine.owner or mine.name.startswith("openslides_template_"):
                _run(connection, "DROP ROLE IF EXISTS {}", mine.name)

    def drop_kept(self, instance_id: str, except_token: str | None) -> None:
        stays = self.kept(instance_id, except_token).name if except_token is not None else ""
        with self.server.connection() as connection:
            for name in _databases(connection, f"{_role(instance_id)}_kept_"):
                if name != stays:
                    _drop(connection, name)
                    _run(connection, "DROP ROLE IF EXISTS {}", name)

    def forget(self, instance_id: str) -> None:
        role = _role(instance_id)
        with self.server.connection() as connection:
            for name in _databases(connection, role):
                _drop(connection, name)
            for name in _roles(connection, f"{role}_"):
                _run(connection, "DROP ROLE IF EXISTS {}", name)
            _run(connection, "DROP ROLE IF EXISTS {}", role)

    def files(self, database: Database) -> tuple[Path, ...]:
        return ()

    def _admit(self, connection: Connection, database: PostgresDatabase, password: str) -> None:
        # The verifier (RFC 5803), so that the password is in no statement that might be logged.
        verifier = encrypt_password(password, database.owner, connection, "scram-sha-256")
        verb = "ALTER" if _role_exists(connection, database.owner) else "CREATE"
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(database.owner), sql.Literal(verifier)
                )
            )
        _run(connection, "GRANT {} TO {}", GROUP, database.owner)
        # So that the control plane may write rows, and give databases to it.
        _run(connection, "GRANT {} TO CURRENT_USER", database.owner)


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


def _wait_for_source(connection: Connection, source: str, target: str) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _run(connection, "CREATE DATABASE {} TEMPLATE {}", target, source)
        except pg.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def _drop(connection: Connection, name: str) -> None:
    _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _end_sessions(connection: Connection, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])


def _role_exists(connection: Connection, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        return cursor.fetchone() is not None


def _databases(connection: Connection, prefix: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
        return [str(name) for (name,) in cursor.fetchall()]


def _roles(connection: Connection, prefix: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [prefix])
        return [str(name) for (name,) in cursor.fetchall()]


def _reason(error: psycopg2.Error) -> str:
    """What PostgreSQL says, on one line; never the statement, and no parameter is in it."""
    return " ".join(str(error).split())
