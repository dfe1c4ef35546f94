"""One round of deaths: of one kind of operation, at every step boundary and within, each with an instance of its own.

ROUNDS=0: after each step, and within one. ROUNDS=1 (the default): also before the first one, in the middle of each step
that takes long, in one undo and in one cancellation, before and after the outcome is written. From the second round on:
before each step, within each one, in each undo and each cancellation, and each round at other places within.
POINTS=2: so many of these places, chosen by chance.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.death import Dying, Moment, NotKilled, Point, begin
from tests.chaos.fleet import CONVERGENCE_SECONDS, SECONDS_OF_EACH, Fleet
from tests.chaos.kinds import Kind, silence
from tests.chaos.report import Report

if TYPE_CHECKING:
    from deployers.plan import Plan
    from instances.models import Instance, Operation

DYING_AT_ONCE = 3


def points(plan: Plan, kind: Kind, rounds: int, chance: random.Random) -> list[Point]:
    """Where workers die in a plan."""
    steps = range(1, len(plan) + 1)
    undoable = [number for number, step in zip(steps, plan, strict=True) if step.undo is not None]
    found = [Point(Moment.BEFORE, 1), *(Point(Moment.AFTER, number) for number in steps)]
    found += [Point(Moment.END), Point(Moment.SETTLING)]
    undoes = [Point(Moment.UNDO, len(plan), chance.random(), undo=number) for number in undoable]
    final = next((number for number, step in zip(steps, plan, strict=True) if step.final), len(plan) + 1)
    cancels = [
        Point(Moment.CANCELLED, number, chance.random(), undo=max((n for n in undoable if n <= number), default=0))
        for number in steps
        # Its last step ends it before anybody asks whether it was cancelled.
        if number < min(final, len(plan))
    ]
    long = [
        Point(Moment.WITHIN, number, chance.random(), kind.steps_that_take.get(step.name, 0.0))
        for number, step in zip(steps, plan, strict=True)
    ]
    if rounds == 0:
        return [point for point in found if point.moment is Moment.AFTER] + chance.sample(long, 1)
    if rounds == 1:
        found += [point for point in long if point.seconds] or chance.sample(long, 1)
        return found + undoes[-1:] + chance.sample(cancels, min(1, len(cancels)))
    found += [Point(Moment.BEFORE, number) for number in steps[1:]] + undoes + cancels
    for _ in range(rounds - 1):
        found += [Point(p.moment, p.step, chance.random(), p.seconds) for p in long]
    return found


@dataclass
class Trial:
    """One worker that died, and what became of its operation."""

    instance: Instance
    operation: Operation
    point: Point
    died: float = 0.0
    seconds: float | None = None
    leaked: list[str] = field(default_factory=list)

    @property
    def ends_as(self) -> str:
        return "cancelled" if self.point.moment is Moment.CANCELLED else "succeeded"


class Round:
    """All trials of one kind of operation: side by side, each with an instance of its own."""

    def __init__(self, fleet: Fleet, kind: Kind, report: Report, rounds: int, chance: random.Random) -> None:
        self.fleet, self.kind, self.report, self.rounds, self.chance = fleet, kind, report, rounds, chance
        self.what = f"{fleet.name}worker killed in {kind.name}"

    def run(self, pool: list[Instance]) -> None:
        subjects = self.kind.subjects(pool, 1)
        places = self._places(subjects[0])
        subjects += self.kind.subjects(pool, len(places) - 1)
        trials = self._kill(subjects, places)
        self._wait(trials)
        self._scan(trials)
        for trial in trials:
            self._judge(trial)
            trial.instance.refresh_from_db()
        self.kind.after(pool, subjects)

    def _places(self, sample: Instance) -> list[Point]:
        """Of the plan of an operation that is filed, looked at, and forgotten."""
        from django.db import transaction

        from instances.planning import plan_of

        with silence(), transaction.atomic():
            operation = self.kind.file(sample, _request())
            plan = plan_of(operation, operation.instance)
            transaction.set_rollback(True)
        if type(sample).objects.filter(pk=sample.pk).exists():
            sample.refresh_from_db()
        else:
            sample._state.adding = True
        places = points(plan, self.kind, self.rounds, self.chance)
        most = int(os.environ.get("POINTS") or len(places))
        return self.chance.sample(places, min(most, len(places)))

    def _kill(self, subjects: list[Instance], places: list[Point]) -> list[Trial]:
        from instances.models import Operation

        trials: list[Trial] = []
        dying: list[tuple[Trial, Dying]] = []

        def wait_for_one() -> None:
            trial, worker = dying.pop(0)
            try:
                trial.died = worker.wait()
            except NotKilled as error:
                self.report.trouble(f"{self.kind.name}: {error}")
                trial.died = time.monotonic()

        for instance, point in zip(subjects, places, strict=True):
            worker = begin(partial(self.kind.file, instance, _request()), point)
            instance._state.adding = False
            trial = Trial(instance, Operation.objects.get(pk=worker.operation), point)
            trials.append(trial)
            dying.append((trial, worker))
            if len(dying) >= DYING_AT_ONCE:
                wait_for_one()
        while dying:
            wait_for_one()
        return trials

    def _wait(self, trials: list[Trial]) -> None:
        """Until each is as it is wanted; so long after the last death as Fleet.wait_all() has for so many."""
        deadline = time.monotonic() + CONVERGENCE_SECONDS + SECONDS_OF_EACH * len(trials)
        while any(trial.seconds is None for trial in trials) and time.monotonic() < deadline:
            for trial in trials:
                if trial.seconds is None and not self._wrong(trial):
                    trial.seconds = max(0.0, time.monotonic() - trial.died)
            time.sleep(0.2)

    def _wrong(self, trial: Trial) -> list[str]:
        trial.operation.refresh_from_db()
        if trial.operation.status != trial.ends_as:
            operation = trial.operation
            return [f"it is {operation.status} and not {trial.ends_as}: {operation.failed_step} {operation.error}"]
        trial.instance.refresh_from_db()
        judge = self.kind.wrong_if_cancelled if trial.ends_as == "cancelled" else self.kind.wrong
        return judge(trial.instance, trial.operation)

    def _scan(self, trials: list[Trial]) -> None:
        own = {trial.instance.pk: trial for trial in trials}
        for finding in self.fleet.scan():
            if finding.instance in own:
                own[finding.instance].leaked.append(finding.text)
            else:
                self.report.trial(
                    f"{self.fleet.name}scan after {self.kind.name}", None, leaked=[f"{finding.text} {finding.instance}"]
                )

    def _judge(self, trial: Trial) -> None:
        if trial.seconds is None:
            self.report.trouble(f"{self.what}, {trial.point}: {self._wrong(trial)}")
        lost = self.kind.lost(trial.instance, trial.operation)
        self.report.trial(self.what, trial.seconds, leaked=trial.leaked, lost=lost, at=str(trial.point))


def _request() -> object:
    from instances.operations import Request

    return Request()
