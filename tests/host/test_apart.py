"""An instance that is crowded, greedy or hostile, and what the others and the control plane notice of that: nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.host.conftest import BACKUPS, DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import podman
from tests.host.test_kinds import made, removed
from tests.host.test_security import INSTANCES, service_json, systemctl

PEOPLE = 300
CROWD = """
import socket, sys
held, path = [], sys.argv[1]
for person in range(int(sys.argv[2])):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(path)
    connection.sendall(b"GET /apps/core/version/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    held.append(connection)
    print(connection.recv(65536).split()[1].decode(), flush=True)
sys.stdin.read()
"""
"""Each keeps its connection, as the WebSocket of somebody who has the page open does."""
FORKS = """
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError as error:
    print("refused", error.strerror, "after", made, flush=True)
"""
ALLOCATES = """
held = bytearray()
for _ in range(40):
    held += b"x" * (64 << 20)
    print("has", len(held) >> 20, flush=True)
"""


@pytest.fixture(scope="module")
def instance(operator: Operator, machine: Machine) -> Iterator[str]:
    number, _attributes = made(operator, "3.3", slug="apart", event_name="Apart")
    yield number
    removed(operator, machine, number)


def process_of(machine: Machine, number: str) -> str:
    """The id of the process of OpenSlides in the instance's container, which runs."""
    assert Visitor(machine, f"apart.{DOMAIN}").get("/apps/core/version/").status == 200
    return machine.do("pgrep", "--oldest", "--full", f"^python3 .*{number}/web.sock").split()[0]


def test_as_many_as_an_assembly_has_are_connected_at_a_time(instance: str, machine: Machine) -> None:
    crowd = machine.popen("python3", "-c", CROWD, f"/run/openslides/sockets/{instance}.sock", str(PEOPLE))
    try:
        assert crowd.stdout is not None
        answers = [crowd.stdout.readline().strip() for _ in range(PEOPLE)]
        assert answers == ["200"] * PEOPLE
        assert Visitor(machine, f"apart.{DOMAIN}").get("/apps/core/version/").status == 200
    finally:
        crowd.communicate("")


def test_its_limits_are_those_of_its_unit_s_control_group(instance: str, machine: Machine) -> None:
    groups: dict[str, str] = {}
    for line in machine.read(f"/proc/{process_of(machine, instance)}/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    assert f"openslides_instance@{instance}.service" in groups["pids" if "pids" in groups else ""]
    if "pids" in groups:
        files = (f"pids{groups['pids']}/pids.max", f"memory{groups['memory']}/memory.limit_in_bytes")
    else:
        files = (f"{groups['']}/pids.max", f"{groups['']}/memory.max")
    assert [int(machine.read(f"/sys/fs/cgroup/{file}")) for file in files] == [256, 1 << 30]


def test_its_root_file_system_is_read_only(instance: str, machine: Machine) -> None:
    mounts = machine.read(f"/proc/{process_of(machine, instance)}/mountinfo").splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "rw" in options[f"{INSTANCES}/{instance}/data"]
    refused = podman(machine, "exec", "--user=0", f"openslides-{instance}", "sh", "-c", "touch /app 2>&1 || :")
    assert " ".join(refused).endswith("Read-only file system")


@pytest.fixture
def greedy(machine: Machine) -> Iterator[str]:
    """The directory of an instance, made by hand."""
    number = secrets.token_hex(16)
    assert machine.as_user("openslides", "mkdir", "-m", "711", f"{INSTANCES}/{number}").code == 0
    yield number
    systemctl(machine, "stop", f"openslides_instance@{number}.service")
    systemctl(machine, "reset-failed", f"openslides_instance@{number}.service")
    machine.do("rm", "-rf", f"{INSTANCES}/{number}", f"/run/openslides/web/{number}")


def run(machine: Machine, number: str, script: str) -> tuple[str, str]:
    """What a program in an instance's unit printed, and systemd's word for how it ended."""
    path, unit = f"{INSTANCES}/{number}/service.json", f"openslides_instance@{number}.service"
    machine.do("tee", path, stdin=service_json(number, ["/usr/bin/python3", "-c", script]))
    machine.do("chown", "openslides:", path)
    systemctl(machine, "start", unit)
    return machine.journal(unit, 100), machine.do("systemctl", "show", "-P", "Result", unit).strip()


def test_it_makes_no_more_processes_than_it_may(machine: Machine, greedy: str) -> None:
    said, _result = run(machine, greedy, FORKS)
    (line,) = [line for line in said.splitlines() if line.startswith("refused")]
    assert 200 <= int(line.split()[-1]) < 256


def test_it_takes_no_more_memory_than_it_may(machine: Machine, greedy: str) -> None:
    said, result = run(machine, greedy, ALLOCATES)
    reached = max(int(line.split()[1]) for line in said.splitlines() if line.startswith("has "))
    assert 400 <= reached < 1024
    assert result in ("oom-kill", "signal"), said


def test_what_it_has_closed_hinders_neither_start_nor_backup_nor_removal(operator: Operator, machine: Machine) -> None:
    number, _attributes = made(operator, "3.3", slug="closed", event_name="Closed")
    uid = json.loads(machine.read("/etc/openslides-multiinstance/host.json"))["instance_uid"]
    own = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sh", "-ec")
    media, web = f"{INSTANCES}/{number}/data/media", f"/run/openslides/web/{number}"
    script = """
        mkdir -m 700 "$1/x" "$1/x/y"; echo found >"$1/x/y/file"
        chmod 000 "$1/x/y/file"; setfacl -b "$1/x/y/file" "$1/x/y" "$1/x"
        mkdir -m 700 "$2/x"; touch "$2/x/file"; mkdir "$2/y"; ln -s /etc "$2/z"
    """
    machine.do(*own, script, "sh", media, web)
    assert machine.as_user("openslides", "ls", f"{media}/x").code != 0
    machine.do(
        "systemctl", "stop", f"openslides_instance_proxy@{number}.service", f"openslides_instance@{number}.service"
    )
    assert Visitor(machine, f"closed.{DOMAIN}").get("/apps/core/version/").status == 200
    assert not {"x", "y", "z"} & set(machine.do("ls", web).split())
    machine.do(*own, 'mkdir -m 700 "$1/x"; touch "$1/x/file"', "sh", web)
    removed(operator, machine, number)
    (backup,) = machine.do("find", f"{BACKUPS}/{number}", "-name", "*.tar").split()
    assert "media/x/y/file" in machine.do("tar", "-tf", backup)
