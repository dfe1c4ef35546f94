"""kill -9 of the worker in the preparation of a version: a real installation, a real migration.

    python -m tests.chaos.prepare RESULT

A preparation that was interrupted is made anew from its start, which takes half a minute; so of one operation several
workers die one after the other, and the real one ends it at last. ROUNDS=1: four places, chosen by chance; ROUNDS=3:
after each step, before the first one, within each long one, before and after the outcome is written.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from tests.chaos.death import Moment, Point, begin
from tests.chaos.plant import NEW, Plant, plant
from tests.chaos.report import Report, told
from tests.chaos.scan import scan
from tests.observing import wait_for

DEATHS_OF_ONE = 4
"""After ATTEMPTS (5) an operation is given up."""
STEPS = 6
LONG = {2: 3.0, 3: 12.0, 4: 8.0}
"""Seconds that are sure to pass in the virtual environment, the installation and the template database."""
PREPARATION_SECONDS = 900.0
# The real worker shall not take it up before all have died; then it is told to look.
NEVER = {"REFRESH_SECONDS": "100000"}


def places(rounds: int, chance: random.Random) -> list[list[Point]]:
    """For each preparation the points at which its workers die, in this order: late ones leave more to be found."""
    within = [Point(Moment.WITHIN, number, chance.random(), seconds) for number, seconds in LONG.items()]
    early = [Point(Moment.BEFORE, 1), *(Point(Moment.AFTER, number) for number in (1, 2)), within[0]]
    middle = [within[1], Point(Moment.AFTER, 3), within[2], Point(Moment.AFTER, 4)]
    late = [Point(Moment.AFTER, STEPS - 1), Point(Moment.AFTER, STEPS), Point(Moment.END), Point(Moment.SETTLING)]
    if rounds >= 3:
        return [early, middle, late]
    return [[chance.choice(early), chance.choice(middle[:2]), chance.choice(late[1:2]), late[2]]]


def trial(made: Plant, deaths: list[Point], report: Report) -> None:
    """One preparation from nothing, in which workers die at these points, one after the other."""
    from instances import looks, operations
    from instances.models import Host, Operation, Version

    version = Version.objects.get(name=NEW)
    filed: list[Operation] = []

    def file() -> Operation:
        return filed[0] if filed else operations.prepare(version, operations.SYSTEM)

    died = 0.0
    for point in deaths:
        worker = begin(file, point)
        filed[:] = [Operation.objects.get(pk=worker.operation)]
        died = worker.wait()
    operation = filed[0]
    looks.take_up(Host.objects.get())

    def ended() -> bool:
        operation.refresh_from_db()
        return operation.is_finished

    wait_for("the end of the preparation", ended, PREPARATION_SECONDS, every=0.5)
    seconds = time.monotonic() - died
    version.refresh_from_db()
    wrong = [] if operation.status == "succeeded" else [f"{operation.status} {operation.failed_step} {operation.error}"]
    wrong += [] if version.preparation == "prepared" else [f"the version is {version.preparation}"]
    leaked = [finding.text for finding in scan(made.data_dir)]
    at = ", then ".join(str(point) for point in deaths)
    for _ in deaths:
        report.trial("worker killed in prepare", None if wrong else seconds, leaked=leaked, at=at)
        leaked = []
    report.troubles += [f"prepare, killed {at}: {text}" for text in wrong]


def main() -> None:
    result, rounds = Path(sys.argv[1]), int(os.environ.get("ROUNDS") or 1)
    chance, report = random.Random(os.environ.get("SEED")), Report()
    with plant(NEVER, report=report) as made:
        from instances.deployment import deployer_for
        from instances.models import Version

        version = Version.objects.get(name=NEW)
        (made.data_dir / "versions" / version.spec().directory_name).unlink()  # a link to one that tests share
        for deaths in places(rounds, chance):
            for step in deployer_for("embedded").discard(version.spec()):
                step.do(lambda text: None)
            Version.objects.filter(pk=version.pk).update(preparation="none")
            with told(f"kill -9 in prepare, {len(deaths)} times"):
                trial(made, deaths, report)
            report.save(result)
    report.save(result)


if __name__ == "__main__":
    main()
