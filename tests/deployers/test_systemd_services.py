"""What stands in an instance's service.json, what of it stops an instance that runs, and what lies in /run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.layout import SystemdLayout
from deployers.services.service import Service
from deployers.services.systemd import Systemd, directories_of_instances

ID = "0123456789abcdef0123456789abcdef"
TASK = "f" * 32
SERVICE = Service(
    ID,
    ("podman", "run", "a" * 64, "python3", "-m", "daphne"),
    {"HOME": "/home"},
    Path("/log"),
    engine="podman",
    idle_seconds=900,
    asked=("podman", "openslides-3.3", "-m", "daphne"),
)


class Stopping(Systemd):
    """Notes what is stopped: no systemd is asked."""

    def __init__(self, layout: SystemdLayout) -> None:
        super().__init__(layout, ["podman"], 100999)
        self.stopped: list[str] = []

    def stop(self, instance_id: str) -> None:
        self.stopped.append(instance_id)


@pytest.fixture
def systemd(tmp_path: Path) -> Stopping:
    layout = SystemdLayout(tmp_path / "srv", tmp_path / "run")
    layout.instance(ID).directory.mkdir(parents=True)
    made = Stopping(layout)
    made.register(SERVICE)
    made.stopped.clear()
    return made


def written(systemd: Stopping) -> dict[str, object]:
    read: dict[str, object] = json.loads((systemd.layout.instance(ID).directory / "service.json").read_text())
    return read


@pytest.mark.parametrize(
    "changed",
    [
        replace(SERVICE, idle_seconds=60, always_on=True),
        replace(SERVICE, idle_seconds=60, argv=("podman", "run", "b" * 64, "python3", "-m", "daphne")),
        replace(SERVICE, always_on=True, env={"HOME": "/home", "CONTAINERS_CONF": "/etc/containers.conf"}),
    ],
    ids=["nothing else", "prepared again meanwhile", "run otherwise by this host"],
)
def test_how_long_it_may_idle_cuts_nobody_off(systemd: Stopping, changed: Service) -> None:
    systemd.register(changed)
    assert systemd.stopped == []
    file = written(systemd)
    assert (file["idle_seconds"], file["always_on"]) == (changed.idle_seconds, changed.always_on)
    assert (file["argv"], file["environment"]) == (list(changed.argv), changed.env), "at its next start"


@pytest.mark.parametrize(
    "asked",
    [("podman", "openslides-3.4", "-m", "daphne"), ("podman", "openslides-3.3", "-m", "daphne", "--workers=3")],
    ids=["another version", "more processes"],
)
def test_what_somebody_asks_for_stops_what_runs(systemd: Stopping, asked: tuple[str, ...]) -> None:
    systemd.register(replace(SERVICE, asked=asked))
    assert systemd.stopped == [ID]


def test_the_directory_of_a_task_is_no_instance_s(tmp_path: Path) -> None:
    """Removing it as an orphan would take the files of a task that runs away."""
    web = tmp_path / "web"
    assert directories_of_instances(web) == set()
    web.mkdir(mode=0o711)
    (web / TASK).mkdir(mode=0o700)
    (web / TASK / "alive").touch()
    # As in_unit.py and rkt_unit.py leave it; an instance can make any file in it.
    (web / ID).mkdir(mode=0o711)
    (web / ID).chmod(0o771)
    (web / ID / "alive").touch()
    assert directories_of_instances(web) == {ID}
