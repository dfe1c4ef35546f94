"""The whole product as a user starts it, driven from outside over HTTP and signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from deployers.layout import EmbeddedLayout
from deployers.services.supervisor_rpc import Rpc
from tests.observing import free_port, free_range, processes_of, wait_for

PROJECT = Path(__file__).resolve().parents[2]
PASSWORD = "a-password-for-tests"
JSON_API = "application/vnd.api+json"


class Product:
    """One data directory, and the product running on it between ``start`` and ``stop``."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "ADMIN_PASSWORD": PASSWORD,
            "INSTANCE_PORTS": free_range(),
            # A busy machine is no failure; and no backup is verified but by a test that asks for it.
            "READY_TIMEOUT": "240",
            "BACKUP_VERIFY_HOURS": "0",
            **(environment or {}),
        }
        self.process: subprocess.Popen[str] | None = None
        self.session = requests.Session()
        self.session.auth = ("admin", PASSWORD)
        self.session.headers["Accept"] = JSON_API

    def start(self) -> None:
        """Start it as ``make run`` does, and wait until the login page answers."""
        log = (self.data_dir.parent / f"{self.data_dir.name}.out").open("a")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run"],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        wait_for("the login page", self.login_page_answers)

    def login_page_answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"The product ended with {self.process.returncode}:\n{self.output()}")
        try:
            return requests.get(f"{self.url}/admin/login/", timeout=30).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def output(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}.out").read_text()

    def stop(self) -> None:
        """Ctrl-C, and wait until it has ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(240)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None

    def end_leftovers(self) -> dict[int, str]:
        """End what still runs of it, and say what that was."""
        left = processes_of(self.data_dir)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def manage(self, *arguments: str, expect: int = 0) -> str:
        """A manage.py command on the product's data; what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def call(self, method: str, path: str, document: Any = None, expect: int | None = None) -> Any:
        """One request to the API; the decoded answer."""
        answer = self.session.request(
            method,
            f"{self.url}/api/{path}",
            data=json.dumps(document) if document is not None else None,
            headers={"Content-Type": JSON_API},
            timeout=120,
        )
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def version_id(self, name: str) -> str:
        versions = self.call("GET", "osversions", expect=200)["data"]
        return next(str(version["id"]) for version in versions if version["attributes"]["name"] == name)

    def create(self, slug: str, version: str | None = None, **attributes: Any) -> dict[str, Any]:
        """POST an instance; the resource as the API answered it, with ``id``."""
        document: dict[str, Any] = {
            "data": {"type": "instances", "attributes": {"slug": slug, "parent_domain": "localhost", **attributes}}
        }
        if version is not None:
            document["data"]["relationships"] = {
                "osversion": {"data": {"type": "osversions", "id": self.version_id(version)}}
            }
        return self.resource(self.call("POST", "instances", document, expect=201))

    def instance(self, identity: str) -> dict[str, Any]:
        return self.resource(self.call("GET", f"instances/{identity}", expect=200))

    def patch(self, identity: str, expect: int = 200, **data: Any) -> Any:
        return self.call(
            "PATCH", f"instances/{identity}", {"data": {"type": "instances", "id": identity, **data}}, expect=expect
        )

    @staticmethod
    def resource(document: dict[str, Any]) -> dict[str, Any]:
        return {"id": document["data"]["id"], **document["data"]["attributes"]}

    def last_operation(self, identity: str) -> dict[str, Any]:
        """The newest operation of an instance: its attributes."""
        found = self.call("GET", f"operations?filter[instance]={identity}&sort=-id", expect=200)["data"]
        return {"id": found[0]["id"], **found[0]["attributes"]}

    def wait_state(self, identity: str, state: str, seconds: float = 400) -> dict[str, Any]:
        """The instance, once its state is the one waited for."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            last.update(self.instance(identity))
            return last if last["state"] == state else None

        try:
            return wait_for(f"state {state}", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last.get('state')}: {self.last_operation(identity)}") from None

    def wait_finished(self, identity: str, seconds: float = 400) -> dict[str, Any]:
        """The instance's newest operation, once it has ended."""

        def look() -> dict[str, Any] | None:
            operation = self.last_operation(identity)
            return operation if operation["status"] in ("succeeded", "failed") else None

        return wait_for("the end of the operation", look, seconds)

    def settled(self, identity: str, state: str, seconds: float = 400) -> dict[str, Any]:
        """The instance, once no operation runs and its state is the one waited for."""
        operation = self.wait_finished(identity, seconds)
        assert operation["status"] == "succeeded", operation
        return self.wait_state(identity, state, seconds)

    def pid_of(self, program: str) -> int:
        """The process id that supervisord says of one of its programs."""
        with Rpc(EmbeddedLayout(self.data_dir).supervisor_socket, 10) as rpc:
            processes: Any = rpc.call("getAllProcessInfo")
        return next(int(process["pid"]) for process in processes if program in process["name"])
