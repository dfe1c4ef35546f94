"""A real embedded host in a directory of its own: supervisord, prepared versions, instances."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import requests

from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
from deployers.composed import ComposedDeployer
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.engines import virtualenv
from deployers.errors import DeployError
from deployers.parts import Timeouts
from deployers.plan import Plan, Step
from deployers.services.supervisor import Supervisor, write_supervisord_conf
from deployers.spec import Account, Event, InstanceSpec, VersionSpec
from tests.observing import free_port, processes_of

PROJECT = Path(__file__).resolve().parents[2]
VERSIONS = Path(os.environ.get("TEST_VERSIONS_DIR") or PROJECT / "var" / "test-cache" / "versions").resolve()
SUPERADMIN_PASSWORD = "superadmin's p%ss wörd"
ADMIN_PASSWORD = 'local "admin" $(id)'


def version(release: str) -> VersionSpec:
    return VersionSpec(f"OpenSlides {release}", f"pypi:openslides=={release}", "virtualenv")


def run(plan: Plan, only: int | None = None) -> list[str]:
    """Run a plan, or its first ``only`` steps, as the product does; what the steps logged.

    A step that fails is undone, and all before it, in reverse; the error goes on.
    """
    lines: list[str] = []
    for index, step in enumerate(plan[:only]):
        try:
            step.do(lines.append)
        except (DeployError, OSError):
            for undone in reversed(plan[: index + 1]):
                if undone.undo is not None:
                    undone.undo(lines.append)
            raise
    return lines


def and_then_fails(plan: Plan, after: str) -> Plan:
    """The plan with a step that fails behind the one named ``after``."""

    def fail(log: Callable[[str], None]) -> None:
        raise DeployError("No space left on device")

    index = next(index for index, step in enumerate(plan) if step.name == after)
    return (*plan[: index + 1], Step("fail", fail), *plan[index + 1 :])


def dies_at(event: int, action: Callable[[], object]) -> bool:
    """Run ``action`` in a process that ends, as by kill -9, when it touches the system the ``event``-th time.

    Touching is what sys.addaudithook() sees of files, databases, sockets and programs. False: it came to its end.
    """
    pid = os.fork()
    if pid == 0:
        count = 0
        watched = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "sqlite3.connect", "subprocess.Popen", "socket.")

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or name.startswith(watched):
                count += 1
                if count >= event:
                    os._exit(9)

        try:
            sys.addaudithook(hook)
            action()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 9


@dataclass
class Host:
    """Shared prepared versions are links in ``versions/``; all else is the host's own."""

    data_dir: Path
    deployer: ComposedDeployer = field(init=False)
    supervisord: subprocess.Popen[bytes] | None = None
    made: int = 0

    def __post_init__(self) -> None:
        self.use()

    def use(self, **settings: Any) -> None:
        """Make the deployer (again), with other settings. A busy machine is no failure."""
        deployer = embedded_deployer(EmbeddedSettings(self.data_dir, **{"timeouts": Timeouts(ready=240), **settings}))
        assert isinstance(deployer, ComposedDeployer)
        self.deployer = deployer

    @property
    def services(self) -> Supervisor:
        services = self.deployer.parts.services
        assert isinstance(services, Supervisor)
        return services

    def start(self) -> None:
        conf = write_supervisord_conf(self.data_dir, [])
        self.supervisord = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", conf],
            env={"PATH": os.environ["PATH"], "DJANGO_SECRET_KEY": "of the control plane"},
            umask=0o077,
        )
        self.services.wait_until_answering(90)

    def stop(self) -> None:
        if self.supervisord is not None:
            self.supervisord.terminate()
            self.supervisord.wait(120)
            self.supervisord = None

    def close(self) -> dict[int, str]:
        """End everything and remove the directory; gives the processes that should not have been there any more."""
        try:
            self.stop()
        finally:
            left = processes_of(self.data_dir)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            if self.supervisord is not None:
                self.supervisord.wait()
            shutil.rmtree(self.data_dir.parent)
        return left

    def spec(self, release: str = "3.3", **changes: Any) -> InstanceSpec:
        """An instance that no other test uses."""
        self.made += 1
        spec = InstanceSpec(
            id=f"{self.made:032x}",
            slug=f"assembly-{self.made}",
            domain="localhost",
            mode="subdomain",
            db="sqlite",
            version=version(release),
            event=Event("Annual assembly 2026", "All members", "2026-05-01", "Town hall"),
            admin=Account("Anna", "Müller", "anna", ADMIN_PASSWORD),
            superadmin_password=SUPERADMIN_PASSWORD,
            secret_key="k" * 50,
            port=free_port(),
        )
        return replace(spec, **changes)

    def directory(self, spec: InstanceSpec) -> Path:
        return self.data_dir / "instances" / spec.id

    def create(self, release: str = "3.3", **changes: Any) -> InstanceSpec:
        spec = self.spec(release, **changes)
        run(self.deployer.create(spec))
        return spec

    def archive(self, name: str) -> Archive:
        """One in a backup store of this host."""
        return Archive(FolderStore(self.data_dir / "backups"), f"{name}.tar")

    def nothing_left_of(self, spec: InstanceSpec) -> bool:
        """No process, file, service or port."""
        files = [path for path in self.data_dir.rglob("*") if spec.id in path.name and "versions" not in path.parts]
        assert not files, files
        assert not processes_of(self.directory(spec))
        assert spec.id not in self.deployer.states()
        assert spec.port is not None
        assert self.deployer.port_is_free(spec.port)
        return True

    def pid(self, spec: InstanceSpec) -> int:
        """The process that listens for the instance."""
        found = processes_of(self.directory(spec))
        assert len(found) == 1, found
        return next(iter(found))


def open_host() -> Host:
    """A host with every version that was prepared by :func:`prepare`; supervisord runs."""
    # Short, because of the unix socket in it (unix(7): 107 bytes).
    data_dir = Path(tempfile.mkdtemp(prefix="mi-")) / "data"
    (data_dir / "versions").mkdir(mode=0o700, parents=True)
    for prepared in VERSIONS.iterdir():
        if (prepared / "prepared.json").exists():
            link_version(data_dir / "versions" / prepared.name)
    host = Host(data_dir)
    try:
        host.start()
    except BaseException:
        host.close()
        raise
    return host


def link_version(directory: Path) -> None:
    """Share the prepared version of that name: a directory of links, so whoever discards it takes it from nobody."""
    directory.mkdir(mode=0o700)
    for part in ("prepared.json", "template.sqlite", "static", "venv"):
        (directory / part).symlink_to(VERSIONS / directory.name / part)


def prepare(*releases: str) -> None:
    """Prepare versions in the shared directory, if they are not. Several test runs may do so at once."""
    VERSIONS.mkdir(parents=True, exist_ok=True)
    with (VERSIONS / ".lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="mi-") as place:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (Path(place) / "versions").symlink_to(VERSIONS)
        deployer = embedded_deployer(EmbeddedSettings(Path(place)))
        # What only takes long on a busy machine is not broken, and others use it.
        with mock.patch.object(virtualenv, "LOOK_SECONDS", 600.0):
            for release in releases:
                run(deployer.prepare(version(release)))


class Browser:
    """One user's session with a real OpenSlides, as its web client does it."""

    def __init__(self, url: str, major: int = 3) -> None:
        self.url = url.rstrip("/")
        self.apps = "/apps" if major == 3 else ""
        self.session = requests.Session()

    def get(self, path: str) -> Any:
        answer = self.session.get(self.url + path, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def login(self, username: str, password: str) -> bool:
        answer = self.session.post(
            f"{self.url}{self.apps}/users/login/", json={"username": username, "password": password}, timeout=120
        )
        assert answer.status_code in (200, 400), answer.text
        return answer.status_code == 200

    def groups_and_names(self) -> tuple[list[int], str, str]:
        user = self.get(f"{self.apps}/users/whoami/")["user"]
        return user["groups_id"], user["first_name"], user["last_name"]

    def version(self) -> str:
        return str(self.get(f"{self.apps}/core/version/")["openslides_version"])

    def config(self) -> dict[str, Any]:
        return {row["key"]: row["value"] for row in self.get("/rest/core/config/")}

    def add_topic(self, title: str) -> None:
        answer = self.session.post(
            f"{self.url}/rest/topics/topic/",
            json={"title": title, "agenda_type": 1},
            headers={"X-CSRFToken": self.session.cookies.get("OpenSlidesCsrfToken") or ""},
            timeout=120,
        )
        assert answer.status_code == 201, answer.text

    def delete_topics(self) -> None:
        for topic in self.get("/rest/topics/topic/"):
            answer = self.session.delete(
                f"{self.url}/rest/topics/topic/{topic['id']}/",
                headers={"X-CSRFToken": self.session.cookies.get("OpenSlidesCsrfToken") or ""},
                timeout=120,
            )
            assert answer.status_code == 204, answer.text

    def topics(self) -> list[str]:
        return [topic["title"] for topic in self.get("/rest/topics/topic/")]
