"""The small parts: commands, files, settings, passwords, rows."""

from __future__ import annotations

import ast
import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from deployers.commands import run
from deployers.databases.database import Update
from deployers.databases.sqlite import SqliteFile
from deployers.engines.virtualenv import LOCKS, known_images
from deployers.errors import CommandFailed, CommandMissing, CommandTimedOut, DatabaseUnusable, RowMissing, UsernameTaken
from deployers.files import remove_tree, tail, write_private
from deployers.openslides.passwords import hash_password, iterations_of, unusable
from deployers.rendering import environment, python_literal
from tests.observing import processes_of


def ignore(text: str) -> None:
    pass


def test_a_command_gets_only_the_environment_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", "secret")
    assert "secret" not in run(["env"], log=ignore, timeout=10, env={"A": "1"})


def test_a_commands_lines_are_logged_as_they_come_and_stdin_reaches_it() -> None:
    lines: list[str] = []
    assert run(["cat"], log=lines.append, timeout=10, stdin="a\nb\n") == "a\nb\n"
    assert lines == ["a\n", "b\n"]


def test_a_command_that_takes_too_long_is_ended_with_all_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(CommandTimedOut, match="begun"):
        run(
            ["sh", "-c", f"echo begun; sleep 61 & : {tmp_path}; wait"],
            log=ignore,
            timeout=5,
            env={"X": str(tmp_path)},
        )
    assert time.monotonic() - began < 50
    assert not processes_of(tmp_path)


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(CommandFailed, match="exit code 3") as failure:
        run(["sh", "-c", "echo the reason >&2; exit 3"], log=ignore, timeout=10)
    assert "the reason" in str(failure.value)
    with pytest.raises(CommandMissing):
        run(["no-such-program"], log=ignore, timeout=10)


def test_a_private_file_is_replaced_at_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_removal_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    for name in ("x", ".x.gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    remove_tree(tmp_path / "x")
    remove_tree(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("".join(f"line {number} ü\n" for number in range(5000)))
    assert tail(log, lines=2) == "line 4998 ü\nline 4999 ü"


def test_directories_in_directories_are_removed_however_many(tmp_path: Path) -> None:
    """An instance may nest its own deeper than Python goes."""
    depth, here = 1500, os.open(tmp_path, os.O_RDONLY)
    for name in ("x", *"y" * depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(tmp_path / "x")
    assert os.listdir(tmp_path) == []


def test_a_link_in_a_directory_s_place_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (tmp_path / "x").symlink_to("kept")
    remove_tree(tmp_path / "x")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


@pytest.mark.parametrize(
    "value", ["", "'\"\\", "two\nlines", "{{ x }}", "ü🎉\ud800", 7, -1.5, True, None, ["a", {"b": [1]}], {"k": "'"}]
)
def test_a_literal_reads_back_as_the_value(value: object) -> None:
    assert ast.literal_eval(python_literal(value)) == value


def test_what_is_no_literal_is_refused() -> None:
    with pytest.raises(TypeError):
        python_literal(object())


def test_a_value_that_a_template_needs_cannot_be_forgotten() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ missing }}").render()


def test_a_hash_has_djangos_format() -> None:
    algorithm, count, salt, digest = hash_password("p", 1000).split("$")
    assert (algorithm, count, len(salt), len(digest)) == ("pbkdf2_sha256", "1000", 12, 44)
    assert hash_password("p", 1000) != hash_password("p", 1000)
    assert iterations_of(hash_password("p", 1000)) == 1000
    assert unusable().startswith("!")
    with pytest.raises(ValueError, match="not a pbkdf2_sha256 hash"):
        iterations_of(unusable())


@pytest.fixture
def database(tmp_path: Path) -> SqliteFile:
    path = tmp_path / "database.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users_user (id INTEGER, username TEXT UNIQUE)")
        connection.executemany("INSERT INTO users_user VALUES (?, ?)", [(1, "admin"), (2, "local")])
    connection.close()
    return SqliteFile(path)


def test_a_row_that_is_missing_undoes_the_whole_change(database: SqliteFile) -> None:
    updates = [
        Update("users_user", {"username": "anna"}, {"id": 2}),
        Update("users_user", {"username": "x"}, {"id": 3}),
    ]
    with pytest.raises(RowMissing, match="id = 3"):
        database.apply(updates)
    assert database.rows("users_user", ("id", "username")) == [(1, "admin"), (2, "local")]


def test_a_username_that_is_taken_is_named(database: SqliteFile) -> None:
    with pytest.raises(UsernameTaken, match="'admin'"):
        database.apply([Update("users_user", {"username": "admin"}, {"id": 2})])


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "database.sqlite"
    with pytest.raises(DatabaseUnusable, match="no such file"):
        SqliteFile(path).check()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatabaseUnusable, match="not a database"):
        SqliteFile(path).check()
    assert not SqliteFile(path.with_name("other")).exists()


def test_every_lock_has_the_release_that_it_is_named_after_and_hashes() -> None:
    assert "pypi:openslides==3.3" in known_images()
    for image in known_images():
        release = image.partition("==")[2]
        lines = (LOCKS / f"openslides-{release}.txt").read_text().splitlines()
        pins = [line for line in lines if line[:1].isalpha()]
        assert f"openslides=={release} \\" in pins
        assert all(pin.endswith("\\") for pin in pins)  # a hash follows
