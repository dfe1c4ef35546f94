"""pg_dump and pg_restore by the control plane's role: an instance's database becomes another instance's."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deployers import interruption
from deployers.databases.postgresql import PostgresServer
from deployers.databases.postgresql_archives import restore
from deployers.databases.postgresql_server import Server
from deployers.errors import CommandFailed, DatabaseServerUnusable, DumpRefused
from deployers.interruption import Interrupted, Interruption
from tests.databases.postgres import Made, everything, execute, logged_in

CONTENT = "SELECT count(*), max(username) FROM users_user"


def test_another_instance_gets_what_was_in_the_dump_and_owns_it(
    one: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    before = everything(postgres.server)
    postgres.dump(one.database, tmp_path / "database")
    other = secrets.token_hex(16)
    try:
        for _again in range(2):
            postgres.load(tmp_path / "database", postgres.draft(other), "secret")
            postgres.replace(postgres.draft(other), postgres.instance(other))
        with logged_in(postgres.instance(other), "secret") as copy, logged_in(one.database, one.password) as source:
            assert execute(copy, CONTENT) == execute(source, CONTENT)
            execute(copy, "ALTER TABLE users_user ADD COLUMN more text")
            owned = execute(copy, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
            assert owned == [(postgres.instance(other).owner,)]
        assert postgres.instance(other).count("users_user") == one.database.count("users_user")
        assert postgres.instance(other).size() > 1_000_000
    finally:
        postgres.forget(other)
    assert everything(postgres.server) == before


def test_somebody_may_use_the_database_while_it_is_dumped(one: Made, postgres: PostgresServer, tmp_path: Path) -> None:
    with logged_in(one.database, one.password) as connection:
        execute(connection, "BEGIN")
        execute(connection, "UPDATE users_user SET username = username")
        postgres.dump(one.database, tmp_path / "database")
        execute(connection, "COMMIT")


def test_a_file_that_is_no_dump_leaves_an_empty_draft_and_says_so(
    one: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "database").write_bytes(b"PGDMP and then nothing")
    with pytest.raises(DumpRefused, match="pg_restore"):
        postgres.load(tmp_path / "database", postgres.draft(one.id), one.password)
    postgres.drop(postgres.draft(one.id))
    assert one.database.count("users_user") > 0


def test_a_dump_whose_contents_postgresql_refuses_is_to_blame(
    one: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.dump(one.database, tmp_path / "database")
    with pytest.raises(DumpRefused, match="already exists"):
        restore(postgres.server, tmp_path / "database", one.database.name, one.database.owner)


def test_a_server_that_is_not_there_is_no_fault_of_the_dump(
    one: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.dump(one.database, tmp_path / "database")
    away = replace(postgres.server, port=1)
    for server, database in ((away, one.database.name), (postgres.server, "no_such_database")):
        with pytest.raises(CommandFailed) as failed:
            restore(server, tmp_path / "database", database, one.database.owner)
        assert not isinstance(failed.value, DumpRefused)


def test_a_session_that_is_ended_while_it_restores_is_no_fault_of_the_dump(
    one: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    """The server is restarted, for example."""
    postgres.dump(one.database, tmp_path / "database")
    draft = postgres.draft(one.id)
    postgres.make_empty(draft, one.password)
    with postgres.server.connection(draft.name) as blocking:
        execute(blocking, "BEGIN")
        # Who makes a table with this name waits for us.
        execute(blocking, "CREATE TABLE users_user (id integer)")
        ended = threading.Timer(1.0, end_restores, [postgres, draft.name])
        ended.start()
        with pytest.raises(CommandFailed) as failed:
            restore(postgres.server, tmp_path / "database", draft.name, draft.owner)
        ended.join()
    assert not isinstance(failed.value, DumpRefused)
    postgres.drop(draft)


def end_restores(postgres: PostgresServer, name: str) -> None:
    with postgres.server.connection() as connection:
        where = f"datname = '{name}' AND application_name = 'pg_restore'"
        execute(connection, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")


def test_a_table_that_is_missing_is_damage_and_a_server_that_is_away_is_none(
    one: Made, postgres: PostgresServer
) -> None:
    with pytest.raises(DatabaseServerUnusable) as missing:
        one.database.count("no_such_table")
    away = PostgresServer(replace(postgres.server, port=1))
    with pytest.raises(DatabaseServerUnusable) as unreachable:
        away.instance(one.id).count("users_user")
    assert (missing.value.damaged, unreachable.value.damaged) == (True, False)


def test_a_statement_ends_when_its_step_is_ended(postgres: PostgresServer) -> None:
    bell = Interruption()
    timer = threading.Timer(0.5, bell.ring, ["It was cancelled."])
    timer.start()
    began = time.monotonic()
    with (
        interruption.during(bell),
        pytest.raises(Interrupted, match="cancelled"),
        postgres.server.connection() as connection,
    ):
        execute(connection, "SELECT pg_sleep(60)")
    assert time.monotonic() - began < 30
    timer.join()


def test_no_statement_lasts_longer_than_a_step_may(postgres: PostgresServer) -> None:
    with postgres.server.connection() as connection:
        assert execute(connection, "SHOW statement_timeout") == [("1h",)]


def test_databases_and_roles_are_found_by_their_instance(one: Made, postgres: PostgresServer) -> None:
    postgres.copy_live(one.database, postgres.kept(one.id, "7"))
    found = {(orphan.kind, orphan.name) for orphan in postgres.found() if orphan.instance_id == one.id}
    role = one.database.owner
    assert found == {("database", role), ("database", postgres.kept(one.id, "7").name), ("role", role)}


def test_what_is_found_is_of_instances_and_forgotten_by_its_instance_s_id(
    one: Made, postgres: PostgresServer, server: Server
) -> None:
    names = (f"openslides_{'0' * 31}", f"openslides_{one.id}0", f"somebody_{'0' * 32}")
    with server.connection() as connection:
        for name in names:
            execute(connection, f'CREATE ROLE "{name}" NOLOGIN')
    try:
        postgres.copy_live(one.database, postgres.draft(one.id))
        assert {orphan.instance_id for orphan in postgres.found()} == {one.id}
        for _again in range(2):
            postgres.forget(one.id)
            assert postgres.found() == []
    finally:
        with server.connection() as connection:
            assert {name for name in names if name in everything(server)} == set(names)
            for name in names:
                execute(connection, f'DROP ROLE "{name}"')
