"""--wait against a running product: the steps, the end, the exit codes; and the questions that a terminal is asked.

The product's pip finds no packages, as on a machine without network: the preparation really fails, at its second step.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import PROJECT
from tests.embedded.bare import end, fresh_environment, ready, start
from tests.observing import wait_for

REGISTER = """
from instances.models import Domain, Host
Host.objects.create(name="localhost", kind="embedded")
Domain.objects.create(domain="example.org", default=True)
"""


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Of a product that runs, with a host, a domain and a version that cannot be prepared."""
    with fresh_environment() as made:
        made |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "COLUMNS": "200"}
        process = start(made)
        wait_for("the login page", lambda: ready(made))
        assert call(made, "shell", "-c", REGISTER).returncode == 0
        assert call(made, "version", "add", "3.3", "--default").returncode == 0
        yield made
        end(process)


def call(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


def call_on_a_terminal(environment: dict[str, str], answer: str, *arguments: str) -> tuple[int, str]:
    """The exit code and what stood on the terminal; ``answer`` is typed at once."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        while True:
            try:
                read = os.read(ours, 4096)
            except OSError:  # EIO: nobody has the other end open any more, see pty(7)
                break
            if not read:
                break
            shown += read
    os.close(ours)
    return process.returncode, shown.decode()


def test_a_failure_is_exit_code_1_with_step_and_reason(environment: dict[str, str]) -> None:
    done = call(environment, "version", "prepare", "3.3", "--wait")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "make the virtual environment: done" in done.stderr
    assert "failed at the step 'install OpenSlides 3.3'" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_all_that_stands_on_standard_output(environment: dict[str, str]) -> None:
    done = call(environment, "version", "prepare", "3.3", "--wait", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["status"], document["failed_step"]) == ("failed", "install OpenSlides 3.3")
    assert {step["status"] for step in document["steps"]} >= {"failed"}


def test_an_instance_that_could_not_be_created_can_be_removed(environment: dict[str, str]) -> None:
    added = call(environment, "instance", "add", "assembly", "--wait")
    assert added.returncode == 1
    assert "3.3" in added.stderr
    shown = json.loads(call(environment, "instance", "show", "assembly", "--json").stdout)
    assert shown["state"] == "installing-failed"
    removed = call(environment, "instance", "remove", "assembly", "--yes", "--wait")
    assert removed.returncode == 0, removed.stderr
    assert "done in" in removed.stdout
    assert call(environment, "instance", "show", "assembly").returncode == 3


def test_a_terminal_is_asked_before_something_is_removed(environment: dict[str, str]) -> None:
    assert call(environment, "instance", "add", "asked", "--wait").returncode == 1
    code, shown = call_on_a_terminal(environment, "n", "instance", "remove", "asked")
    assert code == 2
    assert "Remove asked.example.org" in shown
    assert "Nothing was removed" in shown
    code, shown = call_on_a_terminal(environment, "y", "instance", "remove", "asked", "--wait")
    assert code == 0, shown
    assert "done in" in shown
    assert call(environment, "instance", "show", "asked").returncode == 3
