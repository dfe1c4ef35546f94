"""Who runs an operation: exactly one worker, also when messages come twice and workers die.

A worker is named by the machine's boot, its process-id namespace, its process id and the moment when that
process started (proc(5): field 22 of /proc/PID/stat), so that on the same machine "is it still there?" is
a fact and not a guess. One that is there, or on another machine, is gone when its heartbeat is older than the lease;
on the same machine that is measured by a clock which nobody sets, and which stands still while the machine sleeps, so
neither a wall clock that jumps nor a suspended machine ends a worker.

A claim is about rows. That two processes of one machine do nothing to the same thing at the same time, also when the
first was only held up and comes back, is the matter of ``turns.py``.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from instances.choices import Outcome
from instances.models import Operation
from instances.models.operation import OperationQuerySet

ATTEMPTS = 5
"""So many workers may die with one operation before it is given up."""


class ClaimLost(Exception):
    """Another worker has taken the operation over; this one must not touch it any more."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(f"Operation {operation.pk} was taken over by another worker.")


class Cancelled(Exception):
    """Somebody has asked that the operation be cancelled."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(f"Operation {operation.pk} was cancelled.")


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}"


def _start_time(pid: int) -> str | None:
    """When the process started, in clock ticks since boot; None when there is no such process (a zombie is none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name in parentheses, may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


@lru_cache(maxsize=1)
def _own_name(pid: int) -> str:
    return f"{_machine()}/{pid}/{_start_time(pid)}"


def own_name() -> str:
    """The name of this process as a worker."""
    return _own_name(os.getpid())


def is_gone(operation: Operation) -> bool:
    """Whether the worker that claimed the operation will never finish it.

    A process that is there and does not beat any more has lost its run: its database failed in the middle.
    """
    machine, _, process = operation.worker.partition("]/")
    if f"{machine}]" == _machine():
        pid, _, started = process.partition("/")
        if _start_time(int(pid)) != started:
            return True
        if operation.heartbeat_boot is not None:
            return _boot_seconds() - operation.heartbeat_boot > settings.LEASE_SECONDS
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    # A clock that was set back, across a reboot for example, leaves heartbeats that lie in the future.
    return operation.heartbeat_at is None or abs(timezone.now() - operation.heartbeat_at) > lease


def _boot_seconds() -> float:
    """Seconds since this machine was started, without those in which it slept (clock_gettime(2)).

    Nobody sets it, it is the same for all processes, and who sleeps with the machine has not missed a heartbeat.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def free_places(host_id: int) -> int:
    """How many more operations the host may run now (OPERATIONS_AT_ONCE); one query."""
    running = Operation.objects.filter(host_id=host_id, status=Outcome.RUNNING).count()
    return max(0, settings.OPERATIONS_AT_ONCE - running)


def take(operation_id: int) -> Operation | None:
    """Claim a waiting operation, or one whose worker is gone. None when it is not ours to run (now).

    The claim is one guarded UPDATE: if it does not change exactly one row, somebody was faster, or the worker that
    seemed to be gone has beaten in this very moment.
    """
    operation = Operation.objects.unfinished().select_related("host", "waits_for").filter(pk=operation_id).first()
    if operation is None:
        return None
    if operation.status == Outcome.QUEUED:
        if operation.waits_for is not None and not operation.waits_for.is_finished:
            return None
        if free_places(operation.host_id) == 0:
            return None
    elif not is_gone(operation):
        return None
    now = timezone.now()
    as_read = {"heartbeat_at": operation.heartbeat_at, "heartbeat_boot": operation.heartbeat_boot}
    claimed = (
        _held(operation)
        .filter(**as_read)
        .update(
            status=Outcome.RUNNING,
            worker=own_name(),
            attempts=operation.attempts + 1,
            heartbeat_at=now,
            heartbeat_boot=_boot_seconds(),
            started_at=operation.started_at or now,
        )
    )
    if claimed != 1:
        return None
    operation.refresh_from_db()
    return operation


def release(operation: Operation, *, counts: bool) -> None:
    """Give a claimed operation back, to be run again from its start. ``counts``: as one of its ATTEMPTS."""
    attempts = operation.attempts if counts else operation.attempts - 1
    _held(operation).update(status=Outcome.QUEUED, worker="", attempts=attempts)


def beat(operation: Operation) -> None:
    """Say that the worker is alive. Raises ClaimLost."""
    if _held(operation).update(heartbeat_at=timezone.now(), heartbeat_boot=_boot_seconds()) != 1:
        raise ClaimLost(operation)


def advance(operation: Operation, reached: int, *, final: bool = False, down: bool = False) -> None:
    """Say that step number ``reached`` (from 1) begins: a heartbeat, in one guarded UPDATE.

    ``final``: it cannot be cancelled from here on. ``down``: OpenSlides does not answer from here on.
    Raises ClaimLost, Cancelled.
    """
    now = timezone.now()
    operation.reached = max(reached, operation.reached)
    operation.is_final = operation.is_final or final
    if down and operation.down_since is None:
        operation.down_since = now
    held = _held(operation)
    if not operation.is_final:
        held = held.filter(cancel_asked_at=None)
    elif final:
        # Whoever asked before this step began is still in time.
        held = held.filter(Q(cancel_asked_at=None) | Q(is_final=True))
    changed = held.update(
        heartbeat_at=now,
        heartbeat_boot=_boot_seconds(),
        reached=operation.reached,
        is_final=operation.is_final,
        down_since=operation.down_since,
    )
    if changed != 1:
        if is_cancelled(operation):
            raise Cancelled(operation)
        raise ClaimLost(operation)


def is_cancelled(operation: Operation) -> bool:
    """Whether somebody asked to cancel the operation; one query. Raises ClaimLost."""
    asked = list(_held(operation).values_list("cancel_asked_at", flat=True))
    if not asked:
        raise ClaimLost(operation)
    return asked[0] is not None


def served_again(operation: Operation) -> None:
    """Write down how long OpenSlides did not answer, if it did not."""
    if operation.down_since is not None and operation.down_seconds is None:
        operation.down_seconds = round((timezone.now() - operation.down_since).total_seconds(), 3)
        _held(operation).update(down_seconds=operation.down_seconds)


def finish(operation: Operation, outcome: Outcome, *, error: str = "", failed_step: str = "") -> None:
    """End the operation. Raises ClaimLost."""
    now = timezone.now()
    if (
        _held(operation).update(status=outcome, finished_at=now, error=error, failed_step=failed_step, heartbeat_at=now)
        != 1
    ):
        raise ClaimLost(operation)
    operation.refresh_from_db()


def interrupted(host_id: int) -> list[Operation]:
    """The host's operations that are marked as running and whose worker is gone; one query."""
    running = Operation.objects.filter(host_id=host_id, status=Outcome.RUNNING)
    return [operation for operation in running if is_gone(operation)]


def _held(operation: Operation) -> OperationQuerySet:
    """The operation's row, if it is still as this object knows it: same claim, not finished."""
    return Operation.objects.filter(
        pk=operation.pk,
        finished_at=None,
        status=operation.status,
        worker=operation.worker,
        attempts=operation.attempts,
    )
