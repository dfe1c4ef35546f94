"""Operations of all kinds at the same time, over which a storm comes.

Instances are created, started, stopped, updated, backed up, restored and removed at the same time, and meanwhile
something happens to the host. When it is over nobody does anything but what an operator does whose creation or update
has failed: the creation is asked for again, and what the failed update did not bring back is started. Whatever else is
in error the system mends by itself, half a minute after it has failed at the earliest.

What must be known after the storm is in ``Weather``, which can be written down: the host with this process on it may
lose its power meanwhile.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.fleet import CONVERGENCE_SECONDS, NEW, Fleet
from tests.chaos.report import Report

if TYPE_CHECKING:
    from instances.models import Instance, Operation


@dataclass
class Weather:
    """``instances``: by id, those that are to be there, or removed, when it is over. ``operations``: what was asked
    for, by number. ``marks``: as of the fleet. ``under_way``: how many operations waited or ran when the storm came,
    or as short before as could be asked."""

    instances: list[str]
    operations: list[int]
    marks: dict[str, list[str]]
    under_way: int


def begin(fleet: Fleet) -> Weather:
    """Ask for all of it; comes back while it is under way."""
    from instances import operations

    name = f"{time.time_ns() // 1_000_000}"
    calm = fleet.make(7, f"calm-{name}")
    updating, stopping, starting, saving, restoring, removing, resting = calm
    fleet.do(operations.stop, [starting, resting])
    (made,) = fleet.do(operations.backup, [restoring])
    request = operations.Request()
    filed = [operations.create(fleet.new(f"new-{name}-{each}"), request) for each in range(2)]
    filed += [
        operations.update(updating, fleet.version(NEW), request),
        operations.stop(stopping, request),
        operations.start(starting, request),
        operations.backup(saving, request),
        operations.restore(made.backup, request),
        operations.remove(removing, request),
    ]
    rows = [*calm, *(operation.instance for operation in filed[:2])]
    marks = {instance: sorted(texts) for instance, texts in fleet.marks.items()}
    return Weather([row.pk for row in rows], [operation.pk for operation in filed], marks, len(fleet.unfinished()))


def judge(fleet: Fleet, name: str, weather: Weather, report: Report) -> None:
    """Wait until all is as it is wanted, compare, and take everything away."""
    from instances.errors import OperationRefused
    from instances.models import Instance

    began = time.monotonic()
    fleet.marks = {instance: set(texts) for instance, texts in weather.marks.items()}
    rows = [Instance.objects.get(pk=number) for number in weather.instances]
    wrong = _converge(fleet, rows, weather.operations, began)
    seconds = time.monotonic() - began
    lost = [f"{text} of {row.slug}" for row in rows for text in _lost(fleet, row)]
    leaked = [f"{finding.text} {finding.instance}" for finding in fleet.scan()]
    report.trial(name, None if wrong else seconds, leaked=leaked, lost=lost)
    print(f"  {name}: {weather.under_way} of {len(weather.operations)} operations were under way", flush=True)
    if not weather.under_way:
        report.trouble(f"{name}: nothing was under way when it came, so that it says nothing")
    for text in wrong:
        report.trouble(f"{name}: {text}")
    try:
        fleet.purge(rows)
    except (AssertionError, OperationRefused) as error:
        # The next storm shall come all the same. Where something is known to be wrong this is no more news.
        if not wrong:
            report.trouble(f"after {name}: {error}")


def run(fleet: Fleet, name: str, fault: Callable[[], None], report: Report) -> None:
    """``fault``: begins when some operations run, and ends when it is over."""
    weather = begin(fleet)
    time.sleep(random.uniform(0.1, 1.5))
    weather.under_way = len(fleet.unfinished())
    fault()
    judge(fleet, name, weather, report)


def _converge(fleet: Fleet, rows: list[Instance], filed: list[int], began: float) -> list[str]:
    """Ask again for a creation or an update that has failed, until all is as it is wanted; what is not, in the end."""
    from instances.models import Operation

    wrong: list[str] = ["nobody has looked yet"]
    while wrong and time.monotonic() - began < 2 * CONVERGENCE_SECONDS:
        time.sleep(0.3)
        if unfinished := fleet.unfinished():
            wrong = [f"{operation} is {operation.status}" for operation in unfinished]
            continue
        wrong = [text for row in rows for text in _wrong(row)]
    there: list[Operation] = list(Operation.objects.filter(pk__in=filed))
    return wrong + [f"the operation {number} is gone" for number in set(filed) - {each.pk for each in there}]


def _wrong(row: Instance) -> list[str]:
    from instances import operations
    from instances.choices import Origin
    from instances.errors import OperationRefused

    row.refresh_from_db()
    if row.removed_at is not None:
        return []
    if row.installed_at is None:
        # As its operator does, who sees that it failed.
        with contextlib.suppress(OperationRefused):
            operations.create(row, operations.Request())
        return [f"{row.slug} is {row.observed_state}"]
    if row.observed_state == "update-failed":
        # As its operator does, who sees that it failed. What else is in error is mended without anybody.
        with contextlib.suppress(OperationRefused):
            operations.start(row, operations.Request(Origin.COMMAND))
    if row.failure == "stop":
        return [f"{row.slug} could not be stopped, which the system tries again"]
    if row.observed_state != row.desired_state:
        return [f"{row.slug} is {row.observed_state} and shall be {row.desired_state}"]
    return []


def _lost(fleet: Fleet, row: Instance) -> list[str]:
    if row.removed_at is None:
        return fleet.lost(row)
    last = row.backups.complete().first()
    return sorted(fleet.marks[row.pk] - (fleet.marks_in_archive(last) if last else set()))
