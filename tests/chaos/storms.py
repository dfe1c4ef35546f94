"""What happens to a whole embedded host in the middle of many operations, with the real OpenSlides.

    python -m tests.chaos.storms RESULT ordinary|disk|clock|postgresql [STORM…]

See storm.py for what goes on meanwhile. ROUNDS: how often each storm comes; 0: a choice of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import requests

from tests.chaos.plant import Plant, plant
from tests.chaos.report import Report, told
from tests.chaos.storm import run
from tests.observing import wait_for
from tests.postgresql import Cluster, running_cluster

DISK_BYTES = 256 << 20
HOUR = 3600

Fault = Callable[[Plant], None]
"""What happens. It begins when some operations run, and ends when it is over."""


def worker_killed(made: Plant) -> None:
    """Four times, while the service manager starts it again each time."""
    for _ in range(4):
        with contextlib.suppress(StopIteration, ProcessLookupError):
            if pid := made.pid_of("worker"):
                os.kill(pid, signal.SIGKILL)
        time.sleep(1.5)


def power_cut(made: Plant) -> None:
    """Every process of the host and of the control plane ends at once; then it is started again."""
    assert made.process is not None
    for _ in range(3):  # what was started while the others ended
        made.end_leftovers()
    with contextlib.suppress(ProcessLookupError):
        made.process.kill()
    made.process.wait(30)
    made.start()


def stopped_and_started(made: Plant) -> None:
    """Ctrl-C, and once more."""
    made.stop()
    made.start()


def broker_emptied(made: Plant) -> None:
    for _ in range(20):
        for message in (made.data_dir / "broker").glob("*.msg"):
            message.unlink(missing_ok=True)
        time.sleep(0.1)


def broker_doubled(made: Plant) -> None:
    """Every message that is seen comes three times."""
    seen: set[str] = set()
    for _ in range(100):
        for message in (made.data_dir / "broker").glob("*.msg"):
            if message.name in seen:
                continue
            for copy in range(2):
                time_and_id, _, queue = message.name.partition(".")
                name = f"{time_and_id}{copy}.{queue}"
                seen |= {message.name, name}
                with contextlib.suppress(FileNotFoundError):
                    content = message.read_bytes()
                    message.with_name(f"{name}.new").write_bytes(content)
                    message.with_name(f"{name}.new").rename(message.with_name(name))
        time.sleep(0.02)


def broker_away(made: Plant) -> None:
    """Nothing can be sent, and nothing comes."""
    folder = made.data_dir / "broker"
    folder.rename(folder.with_name("broker.away"))
    folder.write_text("")
    time.sleep(4)
    folder.unlink()
    folder.with_name("broker.away").rename(folder)


def rows_locked(made: Plant) -> None:
    """Somebody holds SQLite's write lock for longer than anybody waits for it (20 s)."""
    with contextlib.closing(sqlite3.connect(made.data_dir / "db.sqlite3", isolation_level=None, timeout=60)) as rows:
        rows.execute("BEGIN IMMEDIATE")
        time.sleep(25)
        rows.execute("ROLLBACK")


def disk_full(made: Plant) -> None:
    """Not a byte is left for some seconds, neither for the instances nor for the control plane."""
    ballast = made.data_dir / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        until = time.monotonic() + 6
        for size in itertools.chain((1 << 20, 1 << 12, 1), itertools.repeat(1)):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(b"\0" * size)
            time.sleep(0.05)
            if time.monotonic() > until:
                break
    ballast.unlink()


def clock_set(hours: int) -> Fault:
    """The wall clock of every process of the product jumps, and jumps back after some seconds."""

    def jump(made: Plant) -> None:
        set_clock(made, hours * HOUR)
        date = wait_for("an answer", lambda: date_of(f"{made.url}/admin/login/"), 60)
        seen = (date - datetime.now(UTC)).total_seconds()
        assert abs(seen - hours * HOUR) < HOUR / 2, f"the clock was not set: {date}"
        time.sleep(5)
        set_clock(made, 0)

    return jump


def date_of(address: str) -> datetime | None:
    """What a server takes for the present time; None where it does not answer."""
    try:
        return parsedate_to_datetime(requests.get(address, timeout=30).headers["Date"])
    except (requests.RequestException, ValueError, KeyError):
        return None


def set_clock(made: Plant, seconds: int) -> None:
    """In place: the processes have the file mapped."""
    with open(made.environment["CLOCK_OFFSET_FILE"], "r+b", buffering=0) as file:
        file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def database_stopped(cluster: Cluster) -> Fault:
    """PostgreSQL, which holds the control plane's rows, is stopped for some seconds; every connection breaks."""

    def stop(made: Plant) -> None:
        from django.db import connections

        connections.close_all()
        cluster.stop()
        time.sleep(5)
        cluster.start()

    return stop


Faults = dict[str, Fault]
SHORT = (
    "power cut",
    "broker emptied",
    "disk full",
    "clock an hour ahead, and back",
    "control plane's PostgreSQL stopped",
)
"""Which of them come with ROUNDS=0."""


@contextmanager
def ordinary(report: Report) -> Iterator[tuple[Plant, Faults]]:
    with plant(report=report) as made:
        yield (
            made,
            {
                "worker killed again and again": worker_killed,
                "power cut": power_cut,
                "stopped and started": stopped_and_started,
                "broker emptied": broker_emptied,
                "messages tripled": broker_doubled,
                "broker away": broker_away,
                "rows locked for 25 s": rows_locked,
            },
        )


@contextmanager
def disk(report: Report) -> Iterator[tuple[Plant, Faults]]:
    with plant(disk_bytes=DISK_BYTES, report=report) as made:
        yield made, {"disk full": disk_full}


@contextmanager
def clock(report: Report) -> Iterator[tuple[Plant, Faults]]:
    """Every process of the product sees a wall clock that a file moves; the clocks that nobody sets are left alone."""
    with tempfile.TemporaryDirectory(prefix="mi-clock-") as place:
        library, file = Path(place) / "clock.so", Path(place) / "offset"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
        file.write_bytes(bytes(8))
        with plant({"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(file)}, report=report) as made:
            yield (
                made,
                {
                    "clock an hour ahead, and back": clock_set(1),
                    "clock an hour back, and ahead": clock_set(-1),
                },
            )


@contextmanager
def postgresql(report: Report) -> Iterator[tuple[Plant, Faults]]:
    with running_cluster() as cluster, plant({"DATABASE_URL": cluster.url}, report=report) as made:
        yield made, {"control plane's PostgreSQL stopped": database_stopped(cluster)}


PLANTS: dict[str, Callable[[Report], AbstractContextManager[tuple[Plant, Faults]]]] = {
    "ordinary": ordinary,
    "disk": disk,
    "clock": clock,
    "postgresql": postgresql,
}


def main() -> None:
    result, name, rounds = Path(sys.argv[1]), sys.argv[2], int(os.environ.get("ROUNDS") or 1)
    report = Report()
    with PLANTS[name](report) as (made, faults):
        for what, fault in faults.items():
            if sys.argv[3:] and what not in sys.argv[3:]:
                continue
            if not rounds and what not in SHORT:
                continue
            for _ in range(max(rounds, 1)):
                with told(what):
                    run(made, what, partial(fault, made), report)
                report.save(result)
    report.save(result)


if __name__ == "__main__":
    main()
