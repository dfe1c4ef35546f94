"""The secrets that a fresh installation makes for itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from multiinstance.secret_file import load_or_create, write_once


def test_they_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "data")
    assert load_or_create(tmp_path / "data") == first
    assert len(first["SECRET_KEY"]) >= 50
    assert (tmp_path / "data" / "secrets.env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_first_runs_at_the_same_time_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_or_create(tmp_path)["SECRET_KEY"], range(8)))
    assert len(set(found)) == 1


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    assert write_once(tmp_path / "file", "first")
    assert not write_once(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
