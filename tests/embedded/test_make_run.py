"""manage.py run, in a process of its own, as ``make run`` calls it."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.embedded.bare import end, fresh_environment, processes, ready, start
from tests.observing import wait_for


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with fresh_environment() as made:
        yield made


def test_the_first_run_makes_an_account_and_ctrl_c_ends_everything(environment: dict[str, str]) -> None:
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    second = start(environment)
    out, _ = second.communicate(timeout=240)
    assert second.returncode == 1
    assert "runs already" in out
    wait_for("web, worker and beat", lambda: len(processes(environment)) >= 5)
    out = end(process)
    assert process.returncode == 0
    assert processes(environment) == {}
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
    login = requests.get(f"http://127.0.0.1:{environment['PORT']}/api/", auth=("admin", password), timeout=120)
    assert login.status_code == 200
    out = end(process)
    assert password not in out
    assert str(file) in out


def test_a_chosen_password_is_taken_and_not_written_down(environment: dict[str, str]) -> None:
    environment["ADMIN_PASSWORD"] = "my own choice"
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    login = requests.get(f"http://127.0.0.1:{environment['PORT']}/api/", auth=("admin", "my own choice"), timeout=120)
    assert login.status_code == 200
    assert "my own choice" not in end(process)
    assert not (Path(environment["DATA_DIR"]) / "admin-password").exists()


def test_kill_9_leaves_nothing_behind_and_the_next_run_works(environment: dict[str, str]) -> None:
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    wait_for("web, worker and beat", lambda: len(processes(environment)) >= 5)
    process.kill()
    process.communicate(timeout=240)
    wait_for("the end of all processes", lambda: not processes(environment), seconds=120)

    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    assert "Stopped." in end(process, signal.SIGTERM)
    assert process.returncode == 0


def test_a_second_ctrl_c_does_not_wait(environment: dict[str, str]) -> None:
    process = start(environment)
    wait_for("the login page", lambda: ready(environment))
    web = next(pid for pid, command in processes(environment).items() if "gunicorn" in command)
    os.kill(web, signal.SIGSTOP)  # It cannot end by itself now.
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Stopping"):
            break
    out = end(process)
    assert "Stopped." in out
    wait_for("the end of all processes", lambda: not processes(environment), seconds=60)


def test_a_taken_port_is_named_with_the_way_out(environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environment["PORT"])))
        other.listen()
        process = start(environment)
        out, _ = process.communicate(timeout=240)
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
        ("WEB_THREADS", "0"),
        ("PORT", "70000"),
        ("PORT", "0"),
        ("REFRESH_SECONDS", "0"),
        ("LANGUAGE_CODE", "xx"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("DATA_DIR", "/dev/null/x"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "postgres://user:very-secret@127.0.0.1:x/name"),
        ("DATABASE_URL", "mysql://user:very-secret@127.0.0.1/name"),
        ("DATABASE_URL", "postgres://user:very-secret@127.0.0.1:1/name"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], name: str, value: str) -> None:
    process = start({**environment, name: value})
    out, _ = process.communicate(timeout=240)
    assert process.returncode != 0
    assert name in out
    assert "Traceback" not in out
    assert "very-secret" not in out


def test_a_data_directory_with_too_long_a_path_is_refused(environment: dict[str, str]) -> None:
    process = start({**environment, "DATA_DIR": environment["DATA_DIR"] + "/" + "x" * 100})
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "DATA_DIR" in out
    assert "shorter" in out
