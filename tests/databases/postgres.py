"""What several tests of PostgreSQL do: log in as OpenSlides does, look at the server, make an instance."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg2

from deployers.databases.postgresql import PostgresDatabase, PostgresServer
from deployers.databases.postgresql_server import Server
from deployers.spec import VersionSpec


@dataclass
class Made:
    """One instance's database, made of a template."""

    id: str
    password: str
    database: PostgresDatabase


@contextmanager
def logged_in(database: PostgresDatabase, password: str, name: str = "") -> Iterator[psycopg2.extensions.connection]:
    """As OpenSlides does it."""
    host, user = database.server.instance_host, database.owner
    with closing(psycopg2.connect(host=host, dbname=name or database.name, user=user, password=password)) as made:
        made.autocommit = True
        yield made


def execute(connection: psycopg2.extensions.connection, statement: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def names(server: Server, query: str) -> set[str]:
    with server.connection() as connection:
        return {str(row[0]) for row in execute(connection, query)}


def everything(server: Server) -> set[str]:
    return names(server, "SELECT datname FROM pg_database") | names(server, "SELECT rolname FROM pg_roles")


def owners(server: Server) -> set[str]:
    """Every database and its owner."""
    return names(server, "SELECT datname || ' ' || pg_get_userbyid(datdba) FROM pg_database")


def new_version() -> VersionSpec:
    return VersionSpec("3.3", f"localhost/x:{secrets.token_hex(4)}", "podman")


def prepare(postgres: PostgresServer, version: VersionSpec) -> PostgresDatabase:
    """A template as a preparation leaves it: made by its own account, which may not log in any more."""
    made = postgres.template(version)
    postgres.make_empty(made, "build")
    with logged_in(made, "build") as connection:
        execute(connection, "CREATE TABLE users_user (id serial primary key, username text unique)")
        execute(connection, "INSERT INTO users_user (username) VALUES ('admin'), ('local')")
    postgres.dismiss(made)
    return made


def make(postgres: PostgresServer, template: PostgresDatabase) -> Made:
    number = secrets.token_hex(16)
    made = Made(number, secrets.token_hex(8), postgres.instance(number))
    postgres.admit(made.database, made.password)
    draft = postgres.draft(made.id)
    postgres.copy_closed(template, draft)
    postgres.replace(draft, made.database)
    return made
