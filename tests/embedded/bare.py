"""manage.py run --bare in a process of its own: no version is registered, so nothing is fetched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.conftest import PROJECT
from tests.observing import free_port, processes_of


@contextmanager
def fresh_environment() -> Iterator[dict[str, str]]:
    """Of a fresh installation. Nothing may run in it at the end; whatever does is ended, and it is an error."""
    directory = Path(tempfile.mkdtemp(prefix="mi-"))
    yield {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(directory / "data"),
        "ENV_FILE": os.devnull,
        "PORT": str(free_port()),
    }
    left = processes_of(directory)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory)
    assert not left


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "run", "--bare"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """Ctrl-C; what it had printed."""
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=240)
    return out


def ready(environment: dict[str, str]) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{environment['PORT']}/admin/login/", timeout=30).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False


def processes(environment: dict[str, str]) -> dict[int, str]:
    return processes_of(Path(environment["DATA_DIR"]))
