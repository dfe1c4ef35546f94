"""What is on a machine of instances and versions: all that a removal must take away."""

from __future__ import annotations

import re
import time

from tests.host.machine import Machine

PODMAN = ("env", "HOME=/srv/openslides/home", "XDG_RUNTIME_DIR=/run/openslides/podman",
          "CONTAINERS_CONF=/etc/openslides-multiinstance/containers.conf",
          "CONTAINERS_STORAGE_CONF=/etc/openslides-multiinstance/storage.conf",
          "podman", "--cgroup-manager=cgroupfs")  # fmt: skip


def podman(machine: Machine, *arguments: str) -> list[str]:
    ran = machine.as_user("openslides", *PODMAN, *arguments)
    assert ran.code == 0, ran.output
    return ran.output.split()


def psql(machine: Machine, query: str) -> list[str]:
    return machine.do("runuser", "-u", "postgres", "--", "psql", "-XAtc", query).split()


def redis(machine: Machine, *arguments: str) -> list[str]:
    """As root, by the control plane's own account."""
    url = machine.read("/etc/openslides-multiinstance/env")
    password = re.search(r"BROKER_URL=redis\+socket://openslides:([^@]+)@", url)
    assert password is not None
    client = ("redis-cli", "-s", "/run/redis-openslides/redis.sock", "--user", "openslides", "--no-auth-warning")
    return machine.do("env", f"REDISCLI_AUTH={password[1]}", *client, *arguments).split()


def traces(machine: Machine, number: str) -> set[str]:
    """Everything on the machine whose name or content has the instance's id, or leads to it."""
    found = set()
    units = machine.do("systemctl", "list-units", "--all", "--plain", "--no-legend", f"*{number}*")
    found |= {f"unit {line.split()[0]}" for line in units.splitlines() if line.strip()}
    found |= {f"container {name}" for name in podman(machine, "ps", "-a", "--format", "{{.Names}}") if number in name}
    found |= {f"database {name}" for name in psql(machine, "SELECT datname FROM pg_database") if number in name}
    found |= {f"role {name}" for name in psql(machine, "SELECT rolname FROM pg_roles") if number in name}
    found |= {f"key {name}" for name in redis(machine, "--scan", "--pattern", f"*{number}*")}
    found |= {f"user {name}" for name in redis(machine, "ACL", "USERS") if number in name}
    places = ("/srv/openslides", "/run/openslides", "/etc/nginx", "/etc/systemd", "/run/systemd")
    named = machine.do("find", *places, "-xdev", "(", "-name", f"*{number}*", "-o", "-lname", f"*{number}*", ")")
    # What stays on purpose: the backups.
    return found | {f"file {name}" for name in named.split() if "/backups/" not in name}


def left_behind(machine: Machine, number: str, seconds: float = 30) -> set[str]:
    """What of these stays: podman has forgotten a container before the last of its files is deleted."""
    deadline = time.monotonic() + seconds
    while (found := traces(machine, number)) and time.monotonic() < deadline:
        time.sleep(1)
    return found
