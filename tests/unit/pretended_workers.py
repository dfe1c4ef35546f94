"""Workers, a broker and clocks in memory, for property tests: they fail, die, lose and repeat as they are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from django.db import OperationalError
from django.db.models import Model
from django.utils import timezone

from deployers.errors import DeployError
from deployers.plan import Action, Log, Plan, Step
from instances import claims, worker
from instances.models import Operation

_real_now = timezone.now


class Killed(BaseException):
    """kill -9: nothing that the product could catch, and nothing is written after it."""


class Trouble(Enum):
    """What happens to a worker at one step."""

    FAILS = auto()
    FAILS_LATE = auto()
    DIES = auto()
    DIES_LATE = auto()
    DIES_UNDOING = auto()
    STOPPING = auto()
    CANCELLED = auto()
    CANCELLED_DIES = auto()
    CANCELLED_DIES_UNDOING = auto()
    NO_DATABASE = auto()
    TAKEN_OVER = auto()
    TAKEN_OVER_FAILS = auto()
    LOOKED_AT = auto()
    ASKED = auto()
    DIES_AT_THE_END = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """``at``: the step, counted from 0, round and round."""

    trouble: Trouble
    at: int


class Clocks:
    """The wall clock, which may be set, and the one since the boot, which nobody sets."""

    def __init__(self) -> None:
        self.wall = timedelta()
        self.boot = 1000.0
        self._passed = 0.0

    def now(self) -> datetime:
        return _real_now() + self.wall

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.boot += seconds

    def rule(self, models: list[type[Model]]) -> Callable[[], None]:
        """Let the fields of these models that default to the present time use this clock; what takes that back."""
        fields = [f for model in models for f in model._meta.concrete_fields if f.default is _real_now]
        for field in fields:
            field.default = self.now
            vars(field).pop("_get_default", None)

        def take_back() -> None:
            for field in fields:
                field.default = _real_now
                vars(field).pop("_get_default", None)

        return take_back


class Broker:
    """Stands in for ``celery.current_app``."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, tuple[Any, ...]]] = []

    def send_task(self, task: str, arguments: tuple[Any, ...], queue: str | None = None) -> None:
        self.messages.append((task, arguments))


class Workers:
    """Processes that are there or not. The one that runs now is the last of ``running``."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.alive: set[int] = set()
        self.running: list[int] = []

    def own_name(self) -> str:
        return f"{claims._machine()}/{self.running[-1]}/{self.running[-1]}"

    def start_time(self, pid: int) -> str | None:
        return str(pid) if pid in self.alive else None

    def work(self, action: Callable[[], None]) -> bool:
        """Run it in a worker of its own; False when that was killed."""
        number = next(self.numbers)
        self.alive.add(number)
        self.running.append(number)
        try:
            action()
        except Killed:
            return False
        finally:
            self.running.pop()
            self.alive.discard(number)
            worker.resume()
        return True


@dataclass
class Sabotage:
    """Puts a fault into a plan. The callbacks are what else happens while a step runs."""

    fault: Fault
    operation: Operation
    cancel: Callable[[], None]
    take_over: Callable[[], None]
    look: Callable[[], None]
    ask: Callable[[], None]
    lose_database: Callable[[], None]

    def spoil(self, plan: Plan) -> Plan:
        if not plan or self.fault.trouble is Trouble.DIES_AT_THE_END:
            return plan
        at = self.fault.at % len(plan)
        steps = list(plan)
        steps[at] = replace(steps[at], do=self._spoiled(steps[at].do))
        if self.fault.trouble in (Trouble.DIES_UNDOING, Trouble.CANCELLED_DIES_UNDOING):
            undoable = [index for index in range(at + 1) if steps[index].undo is not None]
            if undoable:
                deadly = undoable[self.fault.at % len(undoable)]
                steps[deadly] = replace(steps[deadly], undo=_half_done(steps[deadly]))
        return tuple(steps)

    def _spoiled(self, do: Action) -> Action:
        trouble = self.fault.trouble

        def spoiled(log: Log) -> None:
            match trouble:
                case Trouble.FAILS | Trouble.DIES_UNDOING:
                    raise DeployError("a fault")
                case Trouble.DIES:
                    raise Killed
                case Trouble.CANCELLED | Trouble.CANCELLED_DIES | Trouble.CANCELLED_DIES_UNDOING:
                    self.cancel()
                case Trouble.TAKEN_OVER | Trouble.TAKEN_OVER_FAILS:
                    self.take_over()
                case Trouble.LOOKED_AT:
                    self.look()
                case Trouble.ASKED:
                    self.ask()
                case Trouble.STOPPING:
                    worker.note_shutdown()
                case Trouble.NO_DATABASE:
                    self.lose_database()
            if trouble is not Trouble.TAKEN_OVER_FAILS:
                do(log)
            match trouble:
                case Trouble.FAILS_LATE | Trouble.TAKEN_OVER_FAILS:
                    raise DeployError("a late fault")
                case Trouble.DIES_LATE | Trouble.CANCELLED_DIES:
                    raise Killed

        return spoiled


def _half_done(step: Step) -> Action:
    def undo(log: Log) -> None:
        raise Killed

    return undo


def lost_database() -> OperationalError:
    return OperationalError("the connection to the server was lost")
