"""A worker that is killed with -9 at one given point of an operation.

It is forked from this process, so that nothing is imported again; files the operation and claims it in one transaction,
so that the real worker cannot have it first; runs it as the real worker does; and the kernel ends it at that point. No
message was sent: the real worker must find by itself what it left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from deployers.errors import DeployError
from deployers.plan import Action, Log, Plan, Step

if TYPE_CHECKING:
    from instances.models import Operation

FOR_EVER = 600.0
TOUCHES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "sqlite3.connect",
    "subprocess.Popen",
    "socket.",
)
"""Of sys.addaudithook(): with these a step touches the host."""


class Moment(Enum):
    """When the worker dies."""

    BEFORE = "before a step"
    AFTER = "after a step"
    WITHIN = "within a step"
    UNDO = "while it is undone"
    CANCELLED = "while it is cancelled"
    END = "before it is recorded as done"
    SETTLING = "after it was recorded as done"


@dataclass(frozen=True, slots=True)
class Point:
    """``step``: from 1. ``share``: from 0 to 1, how far within; by time where ``seconds`` says how long it takes,
    otherwise by what it touches. ``undo``: which step's undo is the deadly one."""

    moment: Moment
    step: int = 0
    share: float = 0.0
    seconds: float = 0.0
    undo: int = 0

    def __str__(self) -> str:
        place = {Moment.UNDO: f" of step {self.undo} after step {self.step} failed",
                 Moment.CANCELLED: f" in step {self.step}, undoing step {self.undo}"}  # fmt: skip
        exactly = f" ({self.share:.2f})" if self.moment is Moment.WITHIN else ""
        return self.moment.value + place.get(self.moment, f" {self.step}" if self.step else "") + exactly


class NotKilled(AssertionError):
    """The operation ended before the worker came to the point."""


@dataclass(frozen=True, slots=True)
class Dying:
    """A worker that is on its way to its point."""

    pid: int
    operation: int
    point: Point

    def wait(self) -> float:
        """Until it was killed; the moment (time.monotonic()). Raises NotKilled."""
        _pid, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            raise NotKilled(f"operation {self.operation}, {self.point}: the worker ended with {code}")
        return time.monotonic()


def begin(file: Callable[[], Operation], point: Point) -> Dying:
    """Fork the worker, which files the operation. Raises NotKilled: it could not."""
    from django.db import connections

    connections.close_all()
    sys.stdout.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _run(_claimed(file, writing), point)
        except BaseException:
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        number = answer.read()
    if not number:
        os.waitpid(pid, 0)
        raise NotKilled(f"{point}: the worker could not file the operation")
    return Dying(pid, int(number), point)


def die(*_arguments: object, **_options: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(FOR_EVER)


def _claimed(file: Callable[[], Operation], answer: int) -> Operation:
    """File and claim it, and tell its number."""
    from django.db import transaction

    from instances import claims, messages

    messages._send = lambda *_arguments: None
    with transaction.atomic():
        taken = claims.take(file().pk)
        assert taken is not None, "there is no free place"
    claims.take = lambda _number: taken
    os.write(answer, str(taken.pk).encode())
    os.close(answer)
    return taken


def _run(operation: Operation, point: Point) -> None:
    from instances import operations, runner
    from instances.recorder import Recorder

    whole = runner.run_plan

    def cancel() -> None:
        operations.cancel(operation, operations.Request())

    def run_plan(plan: Plan, recorder: Recorder) -> None:
        whole(_spoiled(plan, point, cancel), recorder)

    runner.run_plan = run_plan
    if point.moment is Moment.END:
        runner._end = die
    if point.moment is Moment.SETTLING:
        runner.settle = runner.send_next = die
    runner.run(operation.pk)


def _spoiled(plan: Plan, point: Point, cancel: Any) -> Plan:
    if point.moment in (Moment.END, Moment.SETTLING):
        return plan
    steps = list(plan)
    at = point.step - 1
    steps[at] = replace(steps[at], do=_deadly(steps[at], point, cancel))
    if point.undo:
        steps[point.undo - 1] = replace(steps[point.undo - 1], undo=_deadly_undo(steps[point.undo - 1], point))
    return tuple(steps)


def _deadly(step: Step, point: Point, cancel: Any) -> Action:
    def do(log: Log) -> None:
        match point.moment:
            case Moment.BEFORE:
                die()
            case Moment.AFTER:
                step.do(log)
                die()
            case Moment.WITHIN:
                _die_within(point)
                step.do(log)
                die()
            case Moment.UNDO:
                step.do(log)
                raise DeployError("Chaos")
            case Moment.CANCELLED:
                step.do(log)
                cancel()
                if not point.undo:
                    die()

    return do


def _deadly_undo(step: Step, point: Point) -> Action:
    def undo(log: Log) -> None:
        _die_within(point)
        if step.undo is not None:
            step.undo(log)
        die()

    return undo


def _die_within(point: Point) -> None:
    if point.seconds:
        threading.Timer(point.seconds * point.share, die).start()
        return
    left = 1 + int(point.share * 12)

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or name.startswith(TOUCHES):
            left -= 1
            if left <= 0:
                die()

    sys.addaudithook(hook)
