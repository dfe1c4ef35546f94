"""Whoever changes databases is killed before each of his statements; then it is done again, and ends well."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar

import psycopg2
import pytest

from deployers.databases.postgresql import PostgresDatabase, PostgresServer
from deployers.databases.postgresql_server import Server
from deployers.spec import VersionSpec
from tests.databases.postgres import Made, everything, execute, logged_in, make, new_version, prepare

ENOUGH = 40


class Killed(BaseException):
    """Nothing catches it, and the connection is closed, as the kernel does it."""


class MortalCursor(psycopg2.extensions.cursor):
    statements_left: ClassVar[int] = 0

    def execute(self, query: Any, vars: Any = None) -> None:
        if MortalCursor.statements_left == 0:
            raise Killed
        MortalCursor.statements_left -= 1
        super().execute(query, vars)


class MortalServer(Server):
    @contextmanager
    def connection(self, database: str = "") -> Iterator[psycopg2.extensions.connection]:
        with super().connection(database) as connection:
            connection.cursor_factory = MortalCursor
            yield connection


def deaths(
    postgres: PostgresServer,
    arrange: Callable[[], str],
    act: Callable[[PostgresServer, str], None],
    afterwards: Callable[[str], None],
    dead: Callable[[str], None] = lambda made: None,
) -> int:
    """How often somebody died. ``arrange`` makes what ``act`` changes; ``dead``: what must be true in between."""
    values = {field.name: getattr(postgres.server, field.name) for field in fields(postgres.server)}
    mortal = PostgresServer(MortalServer(**values))
    for statements in range(ENOUGH):
        made = arrange()
        MortalCursor.statements_left = statements
        try:
            act(mortal, made)
        except Killed:
            dead(made)
            act(postgres, made)
            afterwards(made)
        else:
            afterwards(made)
            return statements
    raise AssertionError(f"more than {ENOUGH} statements")


@pytest.fixture
def before(postgres: PostgresServer, template: PostgresDatabase) -> Iterator[None]:
    """Nothing is left but what was there."""
    found = everything(postgres.server)
    yield
    assert everything(postgres.server) == found


def version_named(image: str) -> VersionSpec:
    return VersionSpec("3.3", image, "podman")


def users(database: PostgresDatabase, password: str) -> int:
    with logged_in(database, password) as connection:
        return int(str(execute(connection, "SELECT count(*) FROM users_user")[0][0]))


@pytest.mark.usefixtures("before")
def test_a_creation(postgres: PostgresServer, template: PostgresDatabase) -> None:
    def act(server: PostgresServer, number: str) -> None:
        database, draft = server.instance(number), server.draft(number)
        server.admit(database, "x")
        if not database.exists():
            server.copy_closed(template, draft)
            server.replace(draft, database)

    def afterwards(number: str) -> None:
        assert users(postgres.instance(number), "x") == 2
        postgres.forget(number)

    assert deaths(postgres, lambda: secrets.token_hex(16), act, afterwards) > 5


@pytest.mark.usefixtures("before")
def test_an_update_always_has_the_old_data_or_the_new(postgres: PostgresServer, template: PostgresDatabase) -> None:
    def arrange() -> str:
        made = make(postgres, template)
        postgres.admit(made.database, "x")
        return made.id

    def act(server: PostgresServer, number: str) -> None:
        database, draft, kept = server.instance(number), server.draft(number), server.kept(number, "7")
        if not kept.exists():
            server.copy_live(database, kept)
        server.copy_closed(kept, draft)
        assert users(draft, "x") == 2, "the migration logs in to the draft"
        server.replace(draft, database)

    def whole(number: str) -> None:
        assert users(postgres.instance(number), "x") == 2

    def afterwards(number: str) -> None:
        whole(number)
        postgres.drop_kept(number, None)
        assert {name for name in everything(postgres.server) if number in name} == {postgres.instance(number).name}
        postgres.forget(number)

    assert deaths(postgres, arrange, act, afterwards, dead=whole) > 8


@pytest.mark.usefixtures("before")
def test_a_preparation(postgres: PostgresServer) -> None:
    def act(server: PostgresServer, image: str) -> None:
        made = server.template(version_named(image))
        server.drop(made)
        server.make_empty(made, "build")
        with logged_in(postgres.template(version_named(image)), "build") as connection:
            execute(connection, "CREATE TABLE users_user (id int)")
        server.dismiss(made)

    def afterwards(image: str) -> None:
        made = postgres.template(version_named(image))
        with pytest.raises(psycopg2.OperationalError, match="not permitted to log in"), logged_in(made, "build"):
            pass
        assert made.rows("users_user", ["id"]) == []
        postgres.drop(made)

    assert deaths(postgres, secrets.token_hex, act, afterwards) > 5


@pytest.mark.usefixtures("before")
def test_a_template_whose_place_a_newer_one_takes(postgres: PostgresServer) -> None:
    def arrange() -> str:
        image = secrets.token_hex(4)
        for version in (version_named(image), replace(version_named(image), coming=True)):
            prepare(postgres, version)
        return image

    def act(server: PostgresServer, image: str) -> None:
        coming = server.template(replace(version_named(image), coming=True))
        if coming.exists():
            server.replace(coming, server.template(version_named(image)))

    def whole(image: str) -> None:
        made = make(postgres, postgres.template(version_named(image)))
        assert users(made.database, made.password) == 2
        postgres.forget(made.id)

    def afterwards(image: str) -> None:
        whole(image)
        postgres.drop(postgres.template(version_named(image)))

    assert deaths(postgres, arrange, act, afterwards, dead=whole) > 4


def with_copies(postgres: PostgresServer, template: PostgresDatabase) -> Made:
    made = make(postgres, template)
    for token in ("7", "8"):
        postgres.copy_live(made.database, postgres.kept(made.id, token))
    postgres.copy_closed(postgres.kept(made.id, "8"), postgres.draft(made.id))
    return made


@pytest.mark.usefixtures("before")
def test_a_removal(postgres: PostgresServer, template: PostgresDatabase) -> None:
    def arrange() -> str:
        return with_copies(postgres, template).id

    def act(server: PostgresServer, number: str) -> None:
        server.forget(number)

    def afterwards(number: str) -> None:
        assert not [name for name in everything(postgres.server) if number in name]

    assert deaths(postgres, arrange, act, afterwards) > 5


@pytest.mark.usefixtures("before")
def test_copies_and_drafts_that_are_dropped(postgres: PostgresServer, template: PostgresDatabase) -> None:
    def arrange() -> str:
        return with_copies(postgres, template).id

    def act(server: PostgresServer, number: str) -> None:
        server.drop_kept(number, "7")
        server.drop(server.draft(number))

    def afterwards(number: str) -> None:
        left = {postgres.instance(number).name, postgres.kept(number, "7").name}
        assert {name for name in everything(postgres.server) if number in name} == left
        postgres.forget(number)

    assert deaths(postgres, arrange, act, afterwards) > 2


@pytest.mark.usefixtures("before")
def test_a_version_that_is_discarded(postgres: PostgresServer) -> None:
    def arrange() -> str:
        image = new_version().image
        prepare(postgres, version_named(image))
        return image

    def act(server: PostgresServer, image: str) -> None:
        server.drop(server.template(version_named(image)))

    assert deaths(postgres, arrange, act, lambda image: None) > 1
