"""The log of an instance that rkt runs, which its service user reads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from deployers.services import rkt_unit


def written(file: Path, *pieces: bytes) -> None:
    """Have the pieces, printed by rkt, written to the file."""
    reading, writing = os.pipe()

    def print_them() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    printing = threading.Thread(target=print_them)
    printing.start()
    rkt_unit._write_log(reading, file)
    printing.join()


def test_lines_are_the_app_s_own_and_come_after_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "instance.log"
    file.write_text("before\n")
    written(file, b"[ 6472.1] openslides-5f[6]: one\r\n[ 6472.2] openslides-5f[6]: tw", b"o\r\nlast words")
    assert file.read_text() == "before\none\ntwo\nlast words"


def test_a_log_that_has_grown_large_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rkt_unit, "LOG_BYTES", 100)
    file = tmp_path / "instance.log"
    written(file, *(f"line {number}\n".encode() * 10 for number in range(5)))
    assert file.stat().st_size <= 110
    assert (tmp_path / "instance.log.1").stat().st_size <= 110
    assert (file.read_text() or (tmp_path / "instance.log.1").read_text()).endswith("line 4\n")


def test_an_instance_is_not_ended_by_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    written(tmp_path / "nowhere" / "instance.log", b"x\n" * 100_000)


def test_nor_by_a_full_disk(tmp_path: Path) -> None:
    full = tmp_path / "instance.log"
    full.symlink_to("/dev/full")
    written(full, b"x\n" * 1000)
