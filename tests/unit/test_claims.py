"""An operation is run by exactly one worker, also when messages come twice and workers die."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances import claims
from instances.choices import OperationKind, Outcome
from instances.models import Operation
from tests.factories import make_instance, make_version

pytestmark = pytest.mark.django_db


def make_operation(**values: object) -> Operation:
    instance = make_instance()
    return Operation.objects.create(
        **{"kind": OperationKind.START, "instance": instance, "host": instance.host, **values}
    )


def name_of_a_dead_worker() -> str:
    """The name under which a process that ran on this machine a moment ago would have claimed."""
    process = subprocess.Popen(["true"])
    process.wait()
    machine = claims.own_name().partition("]/")[0]
    return f"{machine}]/{process.pid}/12345"


def test_a_waiting_operation_is_taken_once() -> None:
    operation = make_operation()
    taken = claims.take(operation.pk)
    assert taken is not None
    assert (taken.status, taken.attempts, taken.worker) == (Outcome.RUNNING, 1, claims.own_name())
    assert claims.take(operation.pk) is None


def test_of_two_workers_that_read_the_same_row_one_gets_it() -> None:
    operation = make_operation()
    slow = Operation.objects.get(pk=operation.pk)
    assert claims.take(operation.pk) is not None
    with pytest.raises(claims.ClaimLost):
        claims.beat(slow)


def test_a_finished_operation_is_not_taken() -> None:
    operation = make_operation(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    assert claims.take(operation.pk) is None


def test_an_operation_that_does_not_exist_is_not_taken() -> None:
    assert claims.take(987654) is None


def test_the_operation_of_a_dead_worker_is_taken_up_at_once() -> None:
    operation = make_operation(status=Outcome.RUNNING, worker=name_of_a_dead_worker(), heartbeat_at=timezone.now())
    assert [found.pk for found in claims.interrupted(operation.host_id)] == [operation.pk]
    taken = claims.take(operation.pk)
    assert taken is not None
    assert taken.worker == claims.own_name()


def test_a_process_id_that_was_given_out_again_does_not_keep_a_dead_worker_alive() -> None:
    machine = claims.own_name().partition("]/")[0]
    operation = make_operation(
        status=Outcome.RUNNING, worker=f"{machine}]/{os.getpid()}/1", heartbeat_at=timezone.now()
    )
    assert claims.is_gone(operation)


def test_a_worker_on_another_machine_is_gone_when_its_lease_ran_out(settings: Settings) -> None:
    operation = make_operation(status=Outcome.RUNNING, worker="other/pid:[1]/7/8", heartbeat_at=timezone.now())
    assert not claims.is_gone(operation)
    operation.heartbeat_at = timezone.now() - timedelta(seconds=settings.LEASE_SECONDS + 1)
    assert claims.is_gone(operation)


def test_a_clock_that_is_set_forward_ends_no_worker_of_this_machine() -> None:
    operation = make_operation()
    taken = claims.take(operation.pk)
    assert taken is not None
    Operation.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    operation.refresh_from_db()
    assert not claims.is_gone(operation)
    assert claims.interrupted(operation.host_id) == []


def test_a_worker_that_is_there_and_does_not_beat_has_lost_its_run(settings: Settings) -> None:
    operation = make_operation(status=Outcome.RUNNING, worker=claims.own_name(), heartbeat_at=timezone.now())
    assert not claims.is_gone(operation)
    operation.heartbeat_at = timezone.now() - timedelta(seconds=settings.LEASE_SECONDS + 1)
    assert claims.is_gone(operation)


def test_a_worker_that_beats_while_it_is_taken_for_gone_keeps_its_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = make_operation()
    first = claims.take(operation.pk)
    assert first is not None

    def gone(read: Operation) -> bool:
        """Long ago by what was read; in this very moment it beats."""
        claims.beat(first)
        return True

    monkeypatch.setattr(claims, "is_gone", gone)
    assert claims.take(operation.pk) is None
    claims.finish(first, Outcome.SUCCEEDED)


def test_a_machine_that_slept_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """clock_gettime(2): CLOCK_BOOTTIME goes on while it sleeps, CLOCK_MONOTONIC does not."""
    operation = make_operation()
    taken = claims.take(operation.pk)
    assert taken is not None
    real = time.clock_gettime
    slept = {time.CLOCK_BOOTTIME: 3600.0, time.CLOCK_REALTIME: 3600.0}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + slept.get(clock, 0.0))
    assert not claims.is_gone(taken)


def test_a_clock_that_was_set_back_across_a_reboot_keeps_no_operation(settings: Settings) -> None:
    """The worker's machine was started again, with a clock that had run an hour ahead before."""
    ahead = timezone.now() + timedelta(hours=1)
    operation = make_operation(
        status=Outcome.RUNNING, worker="another-boot/pid:[1]/1/1", heartbeat_at=ahead, heartbeat_boot=5.0
    )
    assert claims.is_gone(operation)
    operation.heartbeat_at = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS / 2)
    assert not claims.is_gone(operation)


def test_the_first_worker_that_comes_back_can_write_nothing() -> None:
    operation = make_operation(status=Outcome.RUNNING, worker=name_of_a_dead_worker())
    first = Operation.objects.get(pk=operation.pk)
    assert claims.take(operation.pk) is not None
    with pytest.raises(claims.ClaimLost):
        claims.finish(first, Outcome.FAILED, error="from the grave")
    operation.refresh_from_db()
    assert (operation.status, operation.error) == (Outcome.RUNNING, "")


def test_an_operation_given_back_does_not_count_as_an_attempt() -> None:
    taken = claims.take(make_operation().pk)
    assert taken is not None
    claims.release(taken, counts=False)
    taken.refresh_from_db()
    assert (taken.status, taken.attempts, taken.worker) == (Outcome.QUEUED, 0, "")


def test_one_that_waits_for_another_is_not_taken_before_that_ended() -> None:
    waited_for = make_operation()
    waited_for.instance, waited_for.version, waited_for.kind = None, make_version(), OperationKind.PREPARE
    waited_for.save()
    operation = make_operation(waits_for=waited_for)
    assert claims.take(operation.pk) is None
    Operation.objects.filter(pk=waited_for.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    assert claims.take(operation.pk) is not None


def test_a_host_runs_no_more_than_it_may(settings: Settings) -> None:
    settings.OPERATIONS_AT_ONCE = 1
    first = make_operation()
    other = make_instance(host=first.host)
    second = Operation.objects.create(kind=OperationKind.START, instance=other, host=first.host)
    taken = claims.take(first.pk)
    assert taken is not None
    assert claims.take(second.pk) is None
    claims.finish(taken, Outcome.SUCCEEDED)
    assert claims.take(second.pk) is not None
