"""Updates to a version that is broken, over the whole product: the old version and the old data serve again.

    python -m tests.chaos.updates RESULT

Of each way in which it is broken ROUNDS instances are updated, with a row and a file written right before, one of them
stopped: nobody sees it run, and it must be stopped again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.chaos.fleet import NEW, OLD
from tests.chaos.plant import Plant, plant
from tests.chaos.report import Report, told
from tests.deployers.host import VERSIONS, version
from tests.deployers.test_deployed_update import NO_LOGIN

if TYPE_CHECKING:
    from instances.models import Instance, Operation

SETTLING_SECONDS = 20.0
MIGRATION, ANSWER, HEALTH = f"migrate a copy of the data to {NEW}", "wait until OpenSlides answers", "check its health"
LOSES_A_USER = """case "$*" in *migrate*)
    "$python" "$@" || exit 1
    exec "$python" -c '
import sqlite3, settings
connection = sqlite3.connect(settings.DATABASES["default"]["NAME"])
connection.execute("DELETE FROM users_user WHERE id = (SELECT max(id) FROM users_user)")
connection.commit()
';;
esac
exec "$python" "$@"
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A version that is broken. ``script``: in the place of its Python. ``step``: where the update must fail.

    ``limits``: settings with the time-out that ends it; all else has the time that a busy machine needs.
    """

    script: str
    step: str
    limits: Mapping[str, str] = field(default_factory=dict)


BROKEN = {
    "its migration fails": Fault(
        'case "$*" in *migrate*) echo no such table; exit 1;; esac; exec "$python" "$@"', MIGRATION
    ),
    "its migration loses rows": Fault(LOSES_A_USER, HEALTH),
    "its server does not start": Fault(
        'case "$*" in *daphne*) echo cannot start; exit 3;; esac; exec "$python" "$@"', ANSWER
    ),
    "its login page is broken": Fault(NO_LOGIN, HEALTH),
    "its migration hangs": Fault(
        'case "$*" in *migrate*) exec sleep 1000;; esac; exec "$python" "$@"', MIGRATION, {"MIGRATE_TIMEOUT": "6"}
    ),
    "its server hangs": Fault(
        'case "$*" in *daphne*) exec sleep 1000;; esac; exec "$python" "$@"', ANSWER, {"READY_TIMEOUT": "25"}
    ),
}

SHORT = ("its migration fails", "its migration hangs", "its login page is broken")
"""Which of them are tried with ROUNDS=0."""


@contextmanager
def broken(made: Plant, script: str) -> Iterator[None]:
    """The newer version with another Python, a shell script; ``$python`` is the real one."""
    name = version(NEW).directory_name
    real, link = VERSIONS / name, made.data_dir / "versions" / name
    fake = made.data_dir / "fake"
    (fake / "venv" / "bin").mkdir(parents=True)
    for part in ("prepared.json", "template.sqlite", "static", "venv/lib"):
        (fake / part).symlink_to(real / part)
    python = fake / "venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\npython='{real}/venv/bin/python'\n{script}\n")
    python.chmod(0o700)
    link.unlink()
    fake.rename(link)
    try:
        yield
    finally:
        link.rename(fake)
        link.symlink_to(real)
        for path in (python, *(fake / part for part in ("prepared.json", "template.sqlite", "static", "venv/lib"))):
            path.unlink()
        for directory in ("venv/bin", "venv", ""):
            (fake / directory).rmdir()


@contextmanager
def limited(made: Plant, limits: Mapping[str, str]) -> Iterator[None]:
    """The product with these time-outs: it is started anew with them, and with its own afterwards."""
    if not limits:
        yield
        return
    usual = made.environment
    _start_anew(made, {**usual, **limits})
    try:
        yield
    finally:
        _start_anew(made, usual)


def _start_anew(made: Plant, environment: dict[str, str]) -> None:
    made.stop()
    made.environment = environment
    made.start()


class Trial:
    """One update that must not be. ``step``: where it must fail."""

    def __init__(self, made: Plant, instance: Instance, state: str, step: str) -> None:
        self.plant, self.instance, self.state, self.step = made, instance, state, step
        self.began = 0.0

    def file(self) -> Operation:
        """With something written right before."""
        from instances import operations

        self.plant.mark(self.instance, "right-before")
        self.began = time.monotonic()
        self.operation = operations.update(self.instance, self.plant.version(NEW), operations.Request())
        return self.operation

    def wrong(self) -> list[str]:
        """After it has ended."""
        self.operation.refresh_from_db()
        self.instance.refresh_from_db()
        found = []
        if self.operation.status != "failed":
            found.append(f"the update {self.operation.status}")
        elif self.operation.failed_step != self.step:
            found.append(f"the update failed at “{self.operation.failed_step}” and not at “{self.step}”")
        if self.instance.version.name != OLD:
            found.append(f"it has {self.instance.version}")
        if self.instance.desired_state != self.state:
            found.append(f"it shall be {self.instance.desired_state} and not {self.state}")
        return found + ([] if self._answers() else ["it does not answer as it did"])

    def _answers(self) -> bool:
        """The old version, to somebody who asks; a stopped one nothing."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.instance.port}/apps/core/version/", timeout=10)
            release = answer.json()["openslides_version"]
        except requests.ConnectionError:
            return self.state == "stopped"
        except (requests.RequestException, ValueError, KeyError):
            return False
        return self.state == "active" and bool(release == OLD)


def run(made: Plant, what: str, fault: Fault, report: Report, count: int) -> None:
    from instances import operations

    rows = made.make(count + 1, f"update-{time.time_ns() // 1_000_000}")
    made.do(operations.stop, rows[-1:])
    trials = [Trial(made, row, "active", fault.step) for row in rows[:-1]]
    trials.append(Trial(made, rows[-1], "stopped", fault.step))
    with limited(made, fault.limits):
        for row in rows:
            made.wait_row(row, row.desired_state)
        with broken(made, fault.script):
            for trial in trials:
                trial.file()
            made.wait_all()
            ended = time.monotonic()
        wrong = {trial: _steady(trial.wrong) for trial in trials}
        leaked = [f"{finding.text} {finding.instance}" for finding in made.scan()]
    for trial, found in wrong.items():
        seconds = None if found else ended - trial.began
        own = [text for text in leaked if trial.instance.pk in text] if trial is not trials[0] else leaked
        report.trial(f"update: {what}", seconds, lost=made.lost(trial.instance), leaked=own, at=trial.state)
        for text in found:
            report.trouble(f"update: {what}, {trial.state}: {text}: {trial.operation.error}")
    made.purge(rows)


def _steady(look: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + SETTLING_SECONDS
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


def main() -> None:
    result, rounds = Path(sys.argv[1]), int(os.environ.get("ROUNDS") or 1)
    report = Report()
    with plant(report=report) as made:
        for what, fault in BROKEN.items():
            if not rounds and what not in SHORT:
                continue
            with told(f"an update: {what}"):
                run(made, what, fault, report, max(rounds, 1))
            report.save(result)
    report.save(result)


if __name__ == "__main__":
    main()
