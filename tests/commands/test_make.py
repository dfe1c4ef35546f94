"""The Makefile's own words: what it offers, and what it says when the machine lacks something."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.tools import require


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("make", "make"), *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def program(file: Path, script: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_make_alone_lists_what_there_is() -> None:
    lines = make().stdout.splitlines()
    assert {line.split()[1] for line in lines} >= {"run", "test", "lint", "bench", "lock", "docs", "clean"}
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "Python 3.11 or later is needed"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "sudo apt-get install python3-venv"),
    ],
)
def test_an_unusable_python_is_said_with_the_way_out(tmp_path: Path, script: str, words: str) -> None:
    python = program(tmp_path / "python", script)
    done = make("run", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert done.returncode != 0
    assert words in done.stdout
    assert not (tmp_path / "venv").exists()


def test_an_interrupted_installation_is_done_again(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script = f'echo "$*" >> {calls}; case "$*" in *pip*) exit ${{PIP_ENDS_WITH:-0}};; esac'
    program(tmp_path / "venv/bin/python", script)
    venv = f"VENV={tmp_path / 'venv'}"
    assert make("run", venv, "PIP_ENDS_WITH=1").returncode != 0
    assert "manage.py run" not in calls.read_text()
    assert make("run", venv).returncode == 0
    assert make("run", venv).returncode == 0
    called = ["pip" if "pip install" in line else line for line in calls.read_text().splitlines()]
    assert called == ["pip", "pip", "manage.py run", "manage.py run"]
