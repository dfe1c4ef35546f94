"""manage.py run, in a process of its own, as ``make run`` calls it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import PROJECT
from tests.observing import free_port, processes_of, wait_for


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of a fresh installation without host and versions: nothing is fetched."""
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


def end(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; what it had printed."""
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    return out


def ready(environment: dict[str, str]) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{environment['PORT']}/admin/login/", timeout=5).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False


def test_the_first_run_makes_an_account_and_ctrl_c_ends_everything(environment: dict[str, str]) -> None:
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    second = start(environment)
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "runs already" in out
    wait_for("web, worker and beat", lambda: len(processes_of(Path(environment["DATA_DIR"]))) >= 5)
    out = end(process)
    assert process.returncode == 0
    assert processes_of(Path(environment["DATA_DIR"])) == {}
    file = Path(environment["DATA_DIR"]) / "admin-password"
    assert file.stat().st_mode & 0o777 == 0o600
    password = file.read_text().strip()
    assert f"admin / {password}" in out
    assert str(file) in out
    assert "Ready: http://127.0.0.1" in out
    assert not re.search(r"WARNING|Traceback", out)

    # The next run does not print the password again, but where it is.
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    login = requests.get(f"http://127.0.0.1:{environment['PORT']}/api/", auth=("admin", password), timeout=10)
    assert login.status_code == 200
    out = end(process)
    assert password not in out
    assert str(file) in out


def test_a_chosen_password_is_taken_and_not_written_down(environment: dict[str, str]) -> None:
    environment["ADMIN_PASSWORD"] = "my own choice"
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    login = requests.get(f"http://127.0.0.1:{environment['PORT']}/api/", auth=("admin", "my own choice"), timeout=10)
    assert login.status_code == 200
    assert "my own choice" not in end(process)
    assert not (Path(environment["DATA_DIR"]) / "admin-password").exists()


def test_a_taken_port_is_named_with_the_way_out(environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environment["PORT"])))
        other.listen()
        process = start(environment)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Port {environment['PORT']}" in out
    assert "PORT=" in out
    assert "make run" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("INSTANCE_PORTS", "5"),
        ("DEPLOYMENT", "cloud"),
        ("FIELD_ENCRYPTION_KEYS", "x"),
        ("WEB_THREADS", "-"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], name: str, value: str) -> None:
    process = start({**environment, name: value})
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert name in out
    assert "Traceback" not in out


def test_a_data_directory_with_too_long_a_path_is_refused(environment: dict[str, str]) -> None:
    process = start({**environment, "DATA_DIR": environment["DATA_DIR"] + "/" + "x" * 100})
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "DATA_DIR" in out
    assert "shorter" in out
