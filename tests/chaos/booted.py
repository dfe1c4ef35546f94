"""The chaos on a production host: booted, set up by ``make host``, with PostgreSQL, podman, Redis and nginx.

    python -m tests.chaos.booted RESULT [planted] [kill] [STORM…]

Workers die in there as the control plane's own user and with its environment (booted_inside.py); what happens to the
machine itself is done from outside. ROUNDS: see rounds.py; each storm comes so often. BOOTED_HOST=NAME takes a machine
that is up, for work on this.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from tests.chaos.booted_fleet import SETTINGS
from tests.chaos.fleet import NEW, OLD
from tests.chaos.report import Report, told
from tests.host.conftest import PROJECT, booted
from tests.host.machine import Machine
from tests.host.scan import redis
from tests.observing import wait_for

PRODUCT = "/opt/openslides-multiinstance"
UNITS = ("openslides-worker.service", "openslides-beat.service", "openslides-web.service")
PLACE = "/var/lib/openslides-chaos"
"""Where in the machine figures are left; a power failure leaves it."""
INSTANCES = "/srv/openslides/instances"
WEB_SOCKET = "/run/openslides/control/web.sock"
DISK_BYTES = 24 << 20
INSIDE = ("planted", "kill")
HOUR = 3600
INSIDE_SECONDS = 3600.0


class Target:
    """A machine under fire. Its control plane looks more often than usual, and has its own settings back afterwards."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def __enter__(self) -> Target:
        self.machine.do("install", "-d", "-o", "openslides", PLACE)
        self.set(SETTINGS)
        return self

    def __exit__(self, *_error: object) -> None:
        for unit in UNITS:
            self.machine.do("rm", "-rf", f"/etc/systemd/system/{unit}.d")
        self._restart()
        self.machine.do("rm", "-rf", PLACE)

    def set(self, variables: dict[str, str]) -> None:
        """The environment of the control plane's units, beside their own."""
        lines = "".join(f"Environment={name}={value}\n" for name, value in variables.items())
        for unit in UNITS:
            self.machine.do("mkdir", "-p", f"/etc/systemd/system/{unit}.d")
            self.machine.do("tee", f"/etc/systemd/system/{unit}.d/chaos.conf", stdin=f"[Service]\n{lines}")
        self._restart()

    def _restart(self) -> None:
        self.machine.do("systemctl", "daemon-reload")
        self.machine.do("systemctl", "restart", *UNITS)

    def inside(self, what: str, *arguments: str, environment: dict[str, str] | None = None) -> Report:
        """Run booted_inside.py. What it could not do is a trouble of the report."""
        result = f"{PLACE}/result.json"
        self.machine.do("rm", "-f", result)
        variables = {
            "ENV_FILE": "/etc/openslides-multiinstance/env",
            "HOME": "/srv/openslides/home",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{PRODUCT}/app:{PROJECT}",
            **{name: os.environ[name] for name in ("ROUNDS", "POINTS", "SEED") if name in os.environ},
            **(environment or {}),
        }
        ran = self.machine.as_user(
            "openslides", *(f"{name}={value}" for name, value in variables.items()),
            f"{PRODUCT}/venv/bin/python", "-m", "tests.chaos.booted_inside", result, what, *arguments,
            timeout=INSIDE_SECONDS,
        )  # fmt: skip
        print(ran.output, end="", flush=True)
        written = self.machine.run("cat", result)
        report = Report.of(written.output) if written.code == 0 else Report()
        if ran.code:
            report.trouble(f"booted host: {what} {' '.join(arguments)} ended with {ran.code}")
        return report


# What happens to the machine.


def postgresql_stopped(machine: Machine) -> None:
    """The server of the control plane and of all instances; every connection breaks."""
    machine.do("systemctl", "stop", "postgresql@15-main.service")
    time.sleep(5)
    machine.do("systemctl", "start", "postgresql@15-main.service")


def redis_flushed(machine: Machine) -> None:
    """Every message, and every session of an instance."""
    for _ in range(10):
        redis(machine, "FLUSHALL")
        time.sleep(0.2)


def redis_killed(machine: Machine) -> None:
    machine.do("systemctl", "kill", "--signal=KILL", "redis-server@openslides.service")


def nginx_stopped(machine: Machine) -> None:
    machine.do("systemctl", "stop", "nginx.service")
    time.sleep(6)
    machine.do("systemctl", "start", "nginx.service")


def podman_fails(machine: Machine) -> None:
    """Whatever is asked of it, it answers with an error."""
    script = "#!/bin/sh\necho 'Error: the storage is out of order' >&2\nexit 125\n"
    machine.do("mv", "/usr/bin/podman", "/usr/bin/podman.away")
    machine.do("install", "-m", "755", "/dev/stdin", "/usr/bin/podman", stdin=script)
    try:
        time.sleep(8)
    finally:
        machine.do("mv", "-f", "/usr/bin/podman.away", "/usr/bin/podman")


def worker_killed(machine: Machine) -> None:
    """Four times, while systemd starts it again each time."""
    for _ in range(4):
        machine.run("systemctl", "kill", "--signal=KILL", "openslides-worker.service")
        time.sleep(3)


def disk_full(machine: Machine) -> None:
    """Not a byte is left for the instances for some seconds."""
    machine.run("dd", "if=/dev/zero", f"of={INSTANCES}/.ballast", "bs=4096")
    machine.run("sh", "-c", f"dd if=/dev/zero bs=1 oflag=append conv=notrunc of={INSTANCES}/.ballast")
    time.sleep(6)
    machine.do("rm", f"{INSTANCES}/.ballast")


def power_cut(machine: Machine) -> None:
    machine.cut()
    machine.up()


def clock_set(machine: Machine, seconds: int) -> None:
    """In place: the processes have the file mapped."""
    number = seconds.to_bytes(8, sys.byteorder, signed=True)
    octal = "".join(f"\\{byte:03o}" for byte in number)
    machine.do("sh", "-c", f"printf '{octal}' | dd of={PLACE}/offset bs=8 conv=notrunc status=none")


def seconds_ahead(machine: Machine) -> float | None:
    """How far the clock of the control plane's web server is ahead of the machine's; None where it does not answer."""
    command = ["curl", "-sS", "-o", "/dev/null", "-D", "-", "--max-time", "30", "--unix-socket", WEB_SOCKET]
    ran = machine.run(*command, "http://localhost/admin/login/")
    date = re.search(r"^date: (.+?)\r?$", ran.output, re.MULTILINE | re.IGNORECASE)
    if ran.code or date is None:
        return None
    return (parsedate_to_datetime(date[1]) - datetime.now(UTC)).total_seconds()


def clock_jumps(hours: int) -> Callable[[Machine], None]:
    """The wall clock of every process of the control plane jumps, and jumps back after some seconds."""

    def jump(machine: Machine) -> None:
        clock_set(machine, hours * HOUR)
        seen = wait_for("an answer of the control plane", lambda: seconds_ahead(machine), 60)
        assert abs(seen - hours * HOUR) < HOUR / 2, f"the clock is {seen:.0f} s ahead, and should be {hours} h"
        time.sleep(6)
        clock_set(machine, 0)

    return jump


@contextmanager
def small_disk(target: Target) -> Iterator[None]:
    """The instances are on a small tmpfs of their own; none is there before and after."""
    target.machine.do("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=711", "tmpfs", INSTANCES)
    target.machine.do("chown", "openslides:", INSTANCES)
    try:
        yield
    finally:
        target.machine.do("umount", "--lazy", INSTANCES)


@contextmanager
def movable_clock(target: Target) -> Iterator[None]:
    machine = target.machine
    with tempfile.TemporaryDirectory(prefix="mi-clock-") as place:
        library, source = Path(place) / "clock.so", Path(__file__).with_name("clock.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
        encoded = library.read_bytes().hex()
    machine.do("python3", "-c", f"import sys; open('{PLACE}/clock.so', 'wb').write(bytes.fromhex(sys.stdin.read()))",
               stdin=encoded)  # fmt: skip
    machine.do("sh", "-c", f"head -c 8 /dev/zero >{PLACE}/offset; chmod 644 {PLACE}/offset {PLACE}/clock.so")
    target.set({**SETTINGS, "LD_PRELOAD": f"{PLACE}/clock.so", "CLOCK_OFFSET_FILE": f"{PLACE}/offset"})
    try:
        yield
    finally:
        target.set(SETTINGS)


Fault = Callable[[Machine], None]
STORMS: dict[str, Fault] = {
    "PostgreSQL stopped": postgresql_stopped,
    "Redis flushed": redis_flushed,
    "Redis killed": redis_killed,
    "nginx stopped": nginx_stopped,
    "podman fails": podman_fails,
    "worker killed": worker_killed,
    "power cut": power_cut,
    "disk full": disk_full,
    "clock an hour ahead": clock_jumps(1),
    "clock an hour back": clock_jumps(-1),
}
AROUND = {"disk full": small_disk, "clock an hour ahead": movable_clock, "clock an hour back": movable_clock}


def storm(target: Target, name: str) -> Report:
    """All that is under way when it comes, and what became of it (storm.py)."""
    report, what = Report(), f"booted host: {name}"
    with told(what), ExitStack() as stack:
        if name in AROUND:
            stack.enter_context(AROUND[name](target))
        report.add(target.inside("begin"))
        if report.is_good:
            time.sleep(random.uniform(0.1, 1.5))
            STORMS[name](target.machine)
            report.add(target.inside("judge", what))
    return report


@contextmanager
def target_of(name: str) -> Iterator[Target]:
    with ExitStack() as stack:
        if running := os.environ.get("BOOTED_HOST"):
            machine = Machine(running, Path("/var/tmp/booted-hosts") / running, [f"{PROJECT}:{PROJECT}"])
        else:
            machine = stack.enter_context(booted(name, (OLD, NEW)))
        yield stack.enter_context(Target(machine))


def main() -> None:
    result, chosen = Path(sys.argv[1]), sys.argv[2:] or [*INSIDE, *STORMS]
    report, rounds = Report(), int(os.environ.get("ROUNDS") or 1)
    with target_of("chaos") as target:
        for what in chosen:
            for _ in range(1 if what in INSIDE else max(rounds, 1)):
                report.add(target.inside(what) if what in INSIDE else storm(target, what))
                report.save(result)


if __name__ == "__main__":
    main()
