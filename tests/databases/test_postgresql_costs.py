"""What one instance costs PostgreSQL: connections and statements, counted in the server's own log."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from deployers.databases.database import Update
from deployers.databases.postgresql import PostgresDatabase, PostgresServer
from deployers.databases.postgresql_server import Server
from tests.databases.postgres import Made, everything, execute, logged_in, make

STATEMENTS_OF_A_CREATION = 17
CONNECTIONS_OF_A_CREATION = 8
PARALLEL = 6


class Log:
    """What the server has written since the last look."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = file.stat().st_size

    def read(self) -> str:
        with self.file.open() as log:
            log.seek(self.size)
            text = log.read()
            self.size = log.tell()
        return text


@pytest.fixture
def log(server: Server) -> Iterator[Log]:
    """Everything is written to it while the test runs."""
    with closing(psycopg2.connect(host=server.host, user="tests", dbname="postgres")) as superuser:
        superuser.autocommit = True
        execute(superuser, "ALTER SYSTEM SET log_statement = 'all'")
        execute(superuser, "ALTER SYSTEM SET log_connections = on")
        execute(superuser, "SELECT pg_reload_conf()")
        while execute(superuser, "SHOW log_statement") != [("all",)]:
            pass
        with server.connection():
            pass  # and the server itself knows it, too
        yield Log(Path(server.host, "log"))
        execute(superuser, "ALTER SYSTEM RESET ALL")
        execute(superuser, "SELECT pg_reload_conf()")


def create(postgres: PostgresServer, template: PostgresDatabase, number: str, password: str) -> None:
    """What a deployer's plan does with the database server, in its order."""
    database, draft = postgres.instance(number), postgres.draft(number)
    assert template.exists()
    postgres.admit(database, password)
    assert not database.exists()
    postgres.copy_closed(template, draft)
    assert not database.exists()
    draft.apply([Update("users_user", {"username": "anna"}, {"id": 2})])
    postgres.replace(draft, database)


def test_a_creation_takes_few_statements(postgres: PostgresServer, template: PostgresDatabase, log: Log) -> None:
    number = secrets.token_hex(16)
    log.read()
    create(postgres, template, number, "x")
    text = log.read()
    postgres.forget(number)
    statements = [line for line in text.splitlines() if "statement: " in line]
    print("\n".join(statements))
    assert 5 < len(statements) <= STATEMENTS_OF_A_CREATION
    assert 3 < text.count("connection authorized: user=openslides") <= CONNECTIONS_OF_A_CREATION


def test_whether_a_version_is_prepared_is_one_query(template: PostgresDatabase, log: Log) -> None:
    log.read()
    assert template.exists()
    assert log.read().count("statement: ") == 1


def test_no_password_is_in_a_statement(
    postgres: PostgresServer, template: PostgresDatabase, one: Made, log: Log
) -> None:
    log.read()
    postgres.admit(one.database, "the-new-password")
    postgres.make_empty(template, "the-build-password")
    text = log.read()
    assert "ALTER ROLE" in text
    assert "SCRAM-SHA-256$" in text
    assert "the-new-password" not in text
    assert "the-build-password" not in text


def test_several_are_made_from_one_template_at_once(postgres: PostgresServer, template: PostgresDatabase) -> None:
    before = everything(postgres.server)
    numbers = [secrets.token_hex(16) for _ in range(PARALLEL)]
    threads = [threading.Thread(target=create, args=(postgres, template, number, "x")) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in numbers:
        with logged_in(postgres.instance(number), "x") as connection:
            assert (2, "anna") in execute(connection, "SELECT id, username FROM users_user")
    threads = [threading.Thread(target=postgres.forget, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert everything(postgres.server) == before


def test_the_next_one_costs_what_the_first_did(postgres: PostgresServer, template: PostgresDatabase, log: Log) -> None:
    made, counts = [], []
    for _ in range(3):
        log.read()
        made.append(make(postgres, template))
        counts.append(log.read().count("statement: "))
    for instance in made:
        postgres.forget(instance.id)
    assert len(set(counts)) == 1
