"""SQLite's files: what is done with them ends when the step is ended, and what is wrong says whose fault it is."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from deployers import interruption
from deployers.databases.sqlite import SqliteFile, SqliteServer, _interrupt
from deployers.errors import DatabaseUnusable
from deployers.files import copy_private
from deployers.interruption import Interrupted, Interruption
from deployers.layout import Layout

ROWS = 20_000
FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def server(tmp_path: Path) -> SqliteServer:
    return SqliteServer(Layout(tmp_path))


@pytest.fixture
def database(tmp_path: Path) -> SqliteFile:
    """Of some thousand pages."""
    path = tmp_path / "database.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (number integer, text text)")
        connection.executemany("INSERT INTO numbers VALUES (?, ?)", ((i, "x" * 500) for i in range(ROWS)))
        connection.commit()
    return SqliteFile(path)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    bell = Interruption()
    timer = threading.Timer(seconds, bell.ring, ["It was cancelled."])
    timer.start()
    try:
        with interruption.during(bell):
            yield
    finally:
        timer.cancel()


def test_a_query_that_takes_too_long_is_ended(database: SqliteFile) -> None:
    began = time.monotonic()
    with ended_after(0.2), pytest.raises(Interrupted), database.connection() as connection:
        connection.execute(FOR_EVER).fetchone()
    assert time.monotonic() - began < 30


def test_who_rings_while_it_is_closed_is_not_disturbed(database: SqliteFile) -> None:
    """He beats for the operation, too."""
    with database.connection() as connection:
        pass
    _interrupt(connection)


@pytest.mark.parametrize("how", ["live", "closed"])
def test_a_copy_is_ended_in_its_middle(how: str, database: SqliteFile, server: SqliteServer, tmp_path: Path) -> None:
    copy = {"live": server.copy_live, "closed": server.copy_closed}[how]
    target = SqliteFile(tmp_path / "copy.sqlite")
    bell = Interruption()
    bell.ring("It was cancelled.")
    with interruption.during(bell), pytest.raises(Interrupted):
        copy(database, target)
    assert not target.exists() or target.size() < database.size()
    copy(database, target)
    assert target.count("numbers") == ROWS


def test_a_file_that_is_copied_in_portions_is_the_same(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    copy_private(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_live_copy_is_of_one_moment_though_somebody_writes_all_the_time(
    mode: str, database: SqliteFile, server: SqliteServer, tmp_path: Path
) -> None:
    """Each write is to both ends of the table; a copy that began anew at each would never end."""
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    over = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database.path, timeout=20)) as connection:
            while not over.is_set():
                ends = f"rowid IN (1, {ROWS})"
                connection.execute(f"UPDATE numbers SET number = number + 1, text = text || 'y' WHERE {ends}")
                connection.commit()
                # Who waits for a lock tries ten times a second (sqlite.org/c3ref/busy_timeout.html).
                over.wait(0.02)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            target = SqliteFile(tmp_path / f"copy{number}.sqlite")
            server.copy_live(database, target)
            target.check()
            with target.connection() as connection:
                found = connection.execute(f"SELECT number FROM numbers WHERE rowid IN (1, {ROWS})").fetchall()
            assert found[1][0] - found[0][0] == ROWS - 1
    finally:
        over.set()
        thread.join()


def spoil(database: SqliteFile) -> None:
    content = bytearray(database.path.read_bytes())
    content[4096 : 4096 * 40] = b"\xff" * (4096 * 39)
    database.path.write_bytes(content)


def replace(database: SqliteFile) -> None:
    database.path.write_bytes(b"This is no database." * 1000)


def drop(database: SqliteFile) -> None:
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute("DROP TABLE numbers")


@pytest.mark.parametrize("damage", [spoil, replace, drop])
def test_what_is_wrong_with_the_contents_is_damage(damage: Callable[[SqliteFile], None], database: SqliteFile) -> None:
    damage(database)
    with pytest.raises(DatabaseUnusable) as error:
        look(database)
    assert error.value.damaged


def look(database: SqliteFile) -> None:
    database.check()
    database.count("numbers")


def fill(database: SqliteFile) -> None:
    with database.connection() as connection:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE more AS SELECT * FROM numbers")


def test_what_is_wrong_with_the_host_is_none(database: SqliteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployers.databases.sqlite.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnusable, match="locked") as locked:
            database.count("numbers")
    with pytest.raises(DatabaseUnusable) as missing:
        SqliteFile(database.path.with_name("missing")).check()
    with pytest.raises(DatabaseUnusable, match="full") as no_room:
        fill(database)
    assert not any(error.value.damaged for error in (locked, missing, no_room))
