"""A database and a role for each instance, on a real PostgreSQL, by a role that is no superuser."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import psycopg2
import pytest

from deployers.databases.database import Update
from deployers.databases.postgresql import PostgresDatabase, PostgresServer, Server
from deployers.errors import DatabaseServerUnusable, RowMissing, UsernameTaken
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


@pytest.fixture
def template(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    """As a preparation leaves it: made by its own account, which may not log in any more."""
    version = VersionSpec("3.3", f"localhost/x:{secrets.token_hex(4)}", "podman")
    made = postgres.template(version)
    postgres.make_empty(made, "build")
    with logged_in(made, "build") as connection:
        execute(connection, "CREATE TABLE users_user (id serial primary key, username text unique)")
        execute(connection, "INSERT INTO users_user (username) VALUES ('admin'), ('local')")
    postgres.dismiss(made)
    yield made
    postgres.drop(made)


def make(postgres: PostgresServer, template: PostgresDatabase) -> Made:
    number = secrets.token_hex(16)
    made = Made(number, secrets.token_hex(8), postgres.instance(number))
    postgres.admit(made.database, made.password)
    draft = postgres.draft(made.id)
    postgres.copy_closed(template, draft)
    postgres.replace(draft, made.database)
    return made


@pytest.fixture
def one(postgres: PostgresServer, template: PostgresDatabase) -> Iterator[Made]:
    made = make(postgres, template)
    yield made
    postgres.forget(made.id)


def test_an_instance_owns_all_that_is_in_its_database(one: Made) -> None:
    with logged_in(one.database, one.password) as connection:
        owners = execute(
            connection,
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'public'",
        )
        assert owners == [(one.database.owner,)]
        execute(connection, "ALTER TABLE users_user ADD COLUMN more text")
        execute(connection, "CREATE TABLE mine (id int)")
        execute(connection, "DROP TABLE mine")


def test_it_can_connect_to_no_other_database(one: Made, postgres: PostgresServer, template: PostgresDatabase) -> None:
    other = make(postgres, template)
    try:
        for name in ("postgres", "template1", "multiinstance", template.name, other.database.name):
            refused = pytest.raises(psycopg2.OperationalError, match=r"pg_hba\.conf|permission denied")
            with refused, logged_in(one.database, one.password, name):
                pass
    finally:
        postgres.forget(other.id)


def test_a_wrong_password_is_refused(one: Made) -> None:
    refused = pytest.raises(psycopg2.OperationalError, match="password authentication failed")
    with refused, logged_in(one.database, "wrong"):
        pass


def test_an_instance_can_make_no_role_and_no_database(one: Made) -> None:
    with logged_in(one.database, one.password) as connection, connection.cursor() as cursor:
        for statement in ("CREATE ROLE x", "CREATE DATABASE x", "SET ROLE openslides", "COPY (SELECT 1) TO '/tmp/x'"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_an_update_s_migration_runs_in_the_draft_as_the_instance(one: Made, postgres: PostgresServer) -> None:
    draft = postgres.draft(one.id)
    kept = postgres.kept(one.id, "7")
    postgres.copy_live(one.database, kept)
    postgres.copy_closed(kept, draft)
    with logged_in(draft, one.password) as connection:
        execute(connection, "ALTER TABLE users_user ADD COLUMN migrated text")
    postgres.replace(draft, one.database)
    with logged_in(one.database, one.password) as connection:
        assert execute(connection, "SELECT migrated FROM users_user WHERE id = 1") == [(None,)]
    assert not draft.exists()
    assert kept.exists()


def test_copies_from_before_updates_go_but_for_one(one: Made, postgres: PostgresServer) -> None:
    for token in ("7", "8"):
        postgres.copy_live(one.database, postgres.kept(one.id, token))
    postgres.drop_kept(one.id, except_token="8")
    assert (postgres.kept(one.id, "7").exists(), postgres.kept(one.id, "8").exists()) == (False, True)
    postgres.drop_kept(one.id, except_token=None)
    assert not postgres.kept(one.id, "8").exists()
    assert one.database.exists()


def test_nothing_of_a_forgotten_instance_is_left(postgres: PostgresServer, template: PostgresDatabase) -> None:
    before = everything(postgres.server)
    made = make(postgres, template)
    postgres.copy_live(made.database, postgres.kept(made.id, "7"))
    postgres.copy_closed(postgres.kept(made.id, "7"), postgres.draft(made.id))
    with logged_in(made.database, made.password):
        postgres.forget(made.id)
    assert everything(postgres.server) == before
    postgres.forget(made.id)


def test_making_an_instance_moves_nothing_of_others(postgres: PostgresServer, template: PostgresDatabase) -> None:
    query = "SELECT datname || ' ' || pg_get_userbyid(datdba) FROM pg_database"
    before = names(postgres.server, query)
    made = make(postgres, template)
    assert names(postgres.server, query) - before == {f"{made.database.name} {made.database.owner}"}
    postgres.forget(made.id)
    assert names(postgres.server, query) == before


def test_a_template_s_account_may_not_log_in_after_the_preparation(template: PostgresDatabase) -> None:
    refused = pytest.raises(psycopg2.OperationalError, match="not permitted to log in")
    with refused, logged_in(template, "build"):
        pass


def test_a_template_that_somebody_looks_into_is_waited_for(
    postgres: PostgresServer, template: PostgresDatabase
) -> None:
    with postgres.server.connection(template.name) as connection:
        execute(connection, "SELECT pg_sleep(0)")
        # Ended by the server half a second later, while the copy waits.
        execute(connection, "SET idle_session_timeout = 500")
        made = make(postgres, template)
    postgres.forget(made.id)


def test_every_step_can_be_done_again(postgres: PostgresServer, template: PostgresDatabase) -> None:
    made = make(postgres, template)
    draft = postgres.draft(made.id)
    for _ in range(2):
        postgres.admit(made.database, made.password)
        postgres.copy_closed(template, draft)
    postgres.replace(draft, made.database)
    with logged_in(made.database, made.password) as connection:
        assert execute(connection, "SELECT count(*) FROM users_user") == [(2,)]
    postgres.forget(made.id)


def test_the_control_plane_writes_rows_all_or_none(one: Made) -> None:
    first = Update("users_user", {"username": "anna"}, {"id": 2})
    with pytest.raises(UsernameTaken):
        one.database.apply([first, Update("users_user", {"username": "anna"}, {"id": 1})])
    with pytest.raises(RowMissing):
        one.database.apply([first, Update("users_user", {"username": "x"}, {"id": 99})])
    assert sorted(one.database.rows("users_user", ["id", "username"])) == [(1, "admin"), (2, "local")]
    one.database.apply([first])
    assert (2, "anna") in one.database.rows("users_user", ["id", "username"])


def test_names_are_quoted(one: Made) -> None:
    with pytest.raises(DatabaseServerUnusable, match="does not exist"):
        one.database.rows('users_user"; DROP TABLE users_user; --', ["id"])
    assert len(one.database.rows("users_user", ["id"])) == 2


def test_no_password_reaches_the_server_in_clear(one: Made, postgres: PostgresServer) -> None:
    with postgres.server.connection() as connection:
        execute(connection, "SELECT 1")
    stored = names(postgres.server, "SELECT query FROM pg_stat_activity WHERE query LIKE '%ROLE%'")
    assert not any(one.password in query for query in stored)


def test_a_server_that_is_down_says_what_to_do_and_no_password(server: Server) -> None:
    absent = PostgresServer(replace(server, host="/nonexistent", password="the-secret"))
    with pytest.raises(DatabaseServerUnusable, match="systemctl status postgresql") as caught:
        absent.instance("0" * 32).exists()
    assert "the-secret" not in f"{caught.value}{caught.value!r}"


def test_an_id_that_is_none_names_no_role(postgres: PostgresServer) -> None:
    with pytest.raises(ValueError, match="not an instance's id"):
        postgres.instance('x"; DROP ROLE openslides; --')
