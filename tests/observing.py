"""Looking at the machine from outside: ports, processes, and facts that take a while."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PORTS = 400


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 240, every: float = 0.1) -> T:
    """The first true answer of ``look``; an assertion error that names ``what`` after so many seconds.

    They are many, since a busy machine is no failure, and none is lost where the answer comes.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range() -> str:
    """Ports for instances, as in INSTANCE_PORTS.

    Below what the system gives out to clients (proc(5), ip_local_port_range), which would take one now and then.
    """
    first = random.randrange(10_000, 32_000, PORTS)
    return f"{first}-{first + PORTS - 1}"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_of(directory: Path) -> dict[int, str]:
    """The processes whose command line or environment names the directory, by process id."""
    needle = str(directory).encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if needle in command or needle in (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\x00", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found
