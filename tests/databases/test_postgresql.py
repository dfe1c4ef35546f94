"""A database and a role for each instance, on a real PostgreSQL, by a role that is no superuser."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

import psycopg2
import pytest

from deployers.databases.database import Update
from deployers.databases.postgresql import CONNECTIONS, PostgresDatabase, PostgresServer
from deployers.databases.postgresql_server import Server
from deployers.errors import DatabaseServerUnusable, RowMissing, UsernameTaken
from tests.databases.postgres import Made, everything, execute, logged_in, make, new_version, owners, prepare
from tests.observing import wait_for


def test_an_instance_owns_all_that_is_in_its_database(one: Made) -> None:
    with logged_in(one.database, one.password) as connection:
        found = execute(
            connection,
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'public'",
        )
        assert found == [(one.database.owner,)]
        schema = execute(connection, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'")
        assert schema == [(one.database.owner,)]
        execute(connection, "ALTER TABLE users_user ADD COLUMN more text")
        execute(connection, "CREATE TABLE mine (id int)")
        execute(connection, "DROP TABLE mine")


def test_it_can_connect_to_no_other_database(one: Made, postgres: PostgresServer, template: PostgresDatabase) -> None:
    other = make(postgres, template)
    postgres.copy_live(one.database, postgres.kept(one.id, "7"))
    others = (template.name, other.database.name, postgres.kept(one.id, "7").name, "openslides")
    try:
        for name in ("postgres", "template1", "multiinstance", *others):
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


def test_an_instance_cannot_take_all_connections(postgres: PostgresServer, one: Made) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(logged_in(one.database, one.password))
        with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
            held.enter_context(logged_in(one.database, one.password))
        assert one.database.exists(), "who is another role comes in"
        # An operator gave it more processes.
        postgres.admit(one.database, one.password, 2)
        held.enter_context(logged_in(one.database, one.password))


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
    assert f"{one.database.name}_draft" not in everything(postgres.server), "nor is the role by which it logged in"


def test_who_uses_a_database_that_is_copied_alive_is_sent_away(one: Made, postgres: PostgresServer) -> None:
    with logged_in(one.database, one.password) as connection:
        postgres.copy_live(one.database, postgres.kept(one.id, "7"))
        with pytest.raises(psycopg2.OperationalError, match=r"closed the connection|terminating connection"):
            execute(connection, "SELECT 1")
    assert postgres.kept(one.id, "7").rows("users_user", ["id"]) == [(1,), (2,)]


def test_a_dismissed_account_is_out_at_once_and_can_come_back(one: Made, postgres: PostgresServer) -> None:
    with logged_in(one.database, one.password) as connection:
        postgres.dismiss(one.database)
        with pytest.raises(psycopg2.OperationalError, match=r"closed the connection|terminating connection"):
            execute(connection, "SELECT 1")
    with pytest.raises(psycopg2.OperationalError, match="not permitted"), logged_in(one.database, one.password):
        pass
    postgres.admit(one.database, "another")
    with logged_in(one.database, "another") as connection:
        assert execute(connection, "SELECT count(*) FROM users_user") == [(2,)]


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
    before = owners(postgres.server)
    made = make(postgres, template)
    assert owners(postgres.server) - before == {f"{made.database.name} {made.database.owner}"}
    with postgres.server.connection(template.name) as connection:
        query = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert execute(connection, query) == [(template.owner,)]
    postgres.forget(made.id)
    assert owners(postgres.server) == before


def test_a_template_can_be_dropped_while_its_copies_are_in_use(postgres: PostgresServer) -> None:
    before = everything(postgres.server)
    template = prepare(postgres, new_version())
    made = make(postgres, template)
    with logged_in(made.database, made.password) as connection:
        postgres.drop(template)
        assert execute(connection, "SELECT count(*) FROM users_user") == [(2,)]
    assert everything(postgres.server) - before == {made.database.name}
    postgres.forget(made.id)


def test_a_newer_template_takes_the_place_of_one_with_copies(postgres: PostgresServer) -> None:
    before = everything(postgres.server)
    version = new_version()
    template = prepare(postgres, version)
    made = make(postgres, template)
    coming = prepare(postgres, replace(version, coming=True))
    with postgres.server.connection(coming.name) as connection:
        execute(connection, "INSERT INTO users_user (username) VALUES ('newer')")
    postgres.replace(coming, template)
    assert everything(postgres.server) - before == {template.name, made.database.name}
    newer = make(postgres, template)
    with logged_in(newer.database, newer.password) as connection:
        assert execute(connection, "SELECT count(*) FROM users_user") == [(3,)]
    postgres.drop(template)
    for instance in (made, newer):
        postgres.forget(instance.id)
    assert everything(postgres.server) == before


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


def test_a_server_that_is_down_says_what_to_do_and_no_password(server: Server) -> None:
    absent = PostgresServer(replace(server, host="/nonexistent", password="the-secret"))
    with pytest.raises(DatabaseServerUnusable, match="systemctl status postgresql") as caught:
        absent.instance("0" * 32).exists()
    assert "the-secret" not in f"{caught.value}{caught.value!r}"


def test_an_id_that_is_none_names_no_role(postgres: PostgresServer) -> None:
    with pytest.raises(ValueError, match="not an instance's id"):
        postgres.instance('x"; DROP ROLE openslides; --')


@pytest.mark.parametrize(
    ("code", "advice"),
    [("53100", "Make room"), ("53300", "postgresql_max_connections"), ("57P01", "Try again"), ("42704", "make host")],
)
def test_what_the_server_refuses_comes_with_what_to_do(server: Server, code: str, advice: str) -> None:
    with pytest.raises(DatabaseServerUnusable, match=f"what it says.*{advice}"), server.connection() as connection:
        execute(connection, f"DO $$ BEGIN RAISE EXCEPTION 'what it says' USING ERRCODE = '{code}'; END $$")


def test_a_server_with_too_many_connections_says_so(postgres: PostgresServer, one: Made) -> None:
    with postgres.server.connection() as connection:
        execute(connection, "ALTER DATABASE multiinstance CONNECTION LIMIT 0")
        try:
            with pytest.raises(DatabaseServerUnusable, match=r"too many connections.*postgresql_max_connections"):
                postgres.admit(one.database, "x")
        finally:
            execute(connection, "ALTER DATABASE multiinstance CONNECTION LIMIT -1")


def test_a_database_that_is_gone_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(DatabaseServerUnusable, match=rf"{'0' * 32}.* does not exist.*backup"):
        postgres.instance("0" * 32).check()


def test_an_error_holds_no_verifier_of_a_password(postgres: PostgresServer, one: Made) -> None:
    with pytest.raises(DatabaseServerUnusable) as caught, postgres.server.connection() as connection:
        execute(connection, "ALTER ROLE nobody_s PASSWORD 'SCRAM-SHA-256$4096:secret' AND")
    assert "SCRAM" not in str(caught.value)


def test_autovacuum_is_in_nobody_s_way(postgres: PostgresServer, one: Made) -> None:
    """Its worker has no role, and who is no superuser may not end it by force."""
    with closing(psycopg2.connect(host=postgres.server.host, user="tests", dbname="postgres")) as superuser:
        superuser.autocommit = True
        slowly = {"naptime": "1s", "vacuum_cost_delay": "100ms", "vacuum_cost_limit": "1"}
        for name, value in slowly.items():
            execute(superuser, f"ALTER SYSTEM SET autovacuum_{name} = '{value}'")
        execute(superuser, "SELECT pg_reload_conf()")
        worker = f"SELECT pid FROM pg_stat_activity WHERE datname = '{one.database.name}' AND usesysid IS NULL"
        try:
            with logged_in(one.database, one.password) as connection:
                execute(connection, "CREATE TABLE big AS SELECT repeat('x', 500) t FROM generate_series(1, 20000)")
                execute(connection, "DELETE FROM big")
            wait_for("autovacuum is in the database", lambda: execute(superuser, worker))
            postgres.copy_live(one.database, postgres.kept(one.id, "7"))
            wait_for("autovacuum is there again", lambda: execute(superuser, worker))
            postgres.forget(one.id)
        finally:
            execute(superuser, "ALTER SYSTEM RESET ALL")
            execute(superuser, "SELECT pg_reload_conf()")
    assert not one.database.exists()
