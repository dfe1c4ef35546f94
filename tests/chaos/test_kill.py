"""kill -9 of the worker before, within and after every step of every kind of operation, with the real OpenSlides.

Each round takes one of the three moments for each step, another one in the next round: ROUNDS=3 takes them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.chaos.fleet import Fleet
from tests.chaos.report import Report

MOMENTS = ("before", "within", "after")
LANES = 3


Begin = Callable[[int], dict[str, Any]]
Check = Callable[[str, dict[str, Any]], str]


@dataclass
class Life:
    """One lane: an instance, to which one operation after the other happens."""

    fleet: Fleet
    report: Report
    rounds: int

    def each_step(self, kind: str, begin: Begin, check: Check) -> None:
        """Kill a worker at each step of ``kind``.

        ``begin`` makes what the operation needs and says what to file; ``check`` waits until the instance is as it is
        wanted and says what of its data is lost.
        """
        number, steps = 1, 1
        while number <= steps:
            for round_number in range(min(self.rounds, len(MOMENTS))):
                moment = MOMENTS[(number + round_number) % len(MOMENTS)]
                fault = f"worker killed in {kind}"
                wanted = begin(number)
                told = self.fleet.die(kind=kind, step=number, moment=moment, **wanted)
                if not told["killed"]:
                    self.report.trouble(f"{kind}: the worker was not killed at step {number} ({moment}): {told}")
                    return
                steps = len(told["steps"])
                began = time.monotonic()
                point = f"{fault} {moment} step {number} ({told['steps'][number - 1]})"
                try:
                    outcome = self.fleet.outcome(told["operation"])
                    lost = check(told["instance"], wanted)
                except AssertionError as error:
                    self.report.trouble(f"{point}: {error}")
                    self.report.trial(fault, None)
                    continue
                if outcome != "succeeded" or lost:
                    self.report.trouble(f"{point}: {outcome} {lost}")
                self.report.trial(fault, time.monotonic() - began, lost=lost)
            number += 1

    def run(self, name: str) -> None:
        getattr(self, name)()

    def creation(self) -> None:
        def begin(number: int) -> dict[str, Any]:
            return {"instance": f"create-{number}-{time.monotonic_ns() % 10**6}"}

        def check(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "active")
            self.fleet.session(instance)
            self.fleet.product.call("DELETE", f"instances/{instance}", expect=204)
            self.fleet.converged(instance, "gone")
            return ""

        self.each_step("create", begin, check)

    def start_and_stop(self) -> None:
        own = self.fleet.create("start-stop")

        def stopped(number: int) -> dict[str, Any]:
            self.fleet.product.patch(own, attributes={"state": "stopped"})
            self.fleet.converged(own, "stopped")
            return {"instance": own}

        def active(number: int) -> dict[str, Any]:
            self.fleet.product.patch(own, attributes={"state": "active"})
            self.fleet.converged(own, "active")
            return {"instance": own}

        def runs(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "active")
            return self.lost(instance, ["written"])

        def rests(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "stopped")
            return ""

        self.each_step("start", stopped, runs)
        self.each_step("stop", active, rests)
        self.each_step("backup", active, lambda instance, _wanted: "" if self.fleet.backups(instance) else "the backup")

    def restores(self) -> None:
        own = self.fleet.create("restores")
        self.ask("backup", own)
        (backup,) = self.fleet.backups(own)

        def begin(number: int) -> dict[str, Any]:
            self.fleet.write(own, f"after {number}")
            return {"instance": own, "backup": backup}

        def check(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "active")
            return self.lost(instance, ["written"])

        self.each_step("restore", begin, check)
        self.each_step("verify", begin, lambda _instance, _wanted: "")
        self.fleet.product.call("DELETE", f"instances/{own}", expect=204)
        self.fleet.converged(own, "gone")
        self.each_step("purge", lambda number: {"instance": self.fleet.create(f"purge-{number}")}, self.gone)

    def updates(self) -> None:
        def begin(number: int) -> dict[str, Any]:
            return {"instance": self.fleet.create(f"update-{number}-{time.monotonic_ns() % 10**6}", "3.2")}

        def check(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "active")
            lost = self.lost(instance, ["written"])
            self.fleet.product.call("DELETE", f"instances/{instance}", expect=204)
            self.fleet.converged(instance, "gone")
            return lost

        self.each_step("update", begin, check)

    def removals(self) -> None:
        def begin(number: int) -> dict[str, Any]:
            return {"instance": self.fleet.create(f"remove-{number}-{time.monotonic_ns() % 10**6}")}

        def check(instance: str, wanted: dict[str, Any]) -> str:
            self.fleet.converged(instance, "gone")
            return "" if self.fleet.backups(instance) else "the last backup"

        self.each_step("remove", begin, check)

    def gone(self, instance: str, wanted: dict[str, Any]) -> str:
        self.fleet.converged(instance, "gone")
        return ""

    def lost(self, instance: str, topics: list[str]) -> str:
        found = self.fleet.topics(instance)
        return "" if found == topics else f"topics are {found} instead of {topics}"

    def ask(self, kind: str, instance: str) -> None:
        """By a worker that lives."""
        told = self.fleet.die(kind=kind, instance=instance, step=0, moment="never")
        assert self.fleet.outcome(told["operation"]) == "succeeded"


def test_a_worker_that_is_killed_at_any_step_of_any_operation(fleet: Fleet, report: Report, rounds: int) -> None:
    life = Life(fleet, report, rounds)
    lanes = ("updates", "restores", "creation", "start_and_stop", "removals")
    with ThreadPoolExecutor(LANES) as pool:
        for done in [pool.submit(life.run, lane) for lane in lanes]:
            done.result()
    leaked = fleet.leaks()
    for what in sorted(leaked):
        report.trouble(f"leaked: {what}")
    report.trial("scan of the host after all of these", 0.0, leaked=leaked)
    assert report.is_good, "\n".join(report.lines())
