"""Who dies in the middle of an update of many, or goes on with it at once: nothing twice, nothing forgotten."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from instances import operations, rollouts
from instances.choices import OperationKind, Outcome, RolloutItemStatus, RolloutStatus
from instances.models import Instance, Operation, Rollout
from tests.factories import make_domain, make_host, make_installed, make_version

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = 20


@pytest.fixture
def rollout(settings: Any) -> Rollout:
    """Of twenty, all in one wave, and the host has room for them."""
    settings.OPERATIONS_AT_ONCE = 1000
    place = {"host": make_host(), "domain": make_domain(), "version": make_version(name="3.3")}
    instances = [make_installed(**place) for _number in range(NUMBER)]
    newer = make_version(name="3.4", image="pypi:openslides==3.4")
    return rollouts.begin(newer, instances, operations.SYSTEM, waves="100%")


def check_rows(rollout: Rollout) -> int:
    """That each instance is asked once, and its item says so; how many are."""
    asked = Operation.objects.filter(kind=OperationKind.UPDATE)
    linked = rollout.items.exclude(operation=None)
    assert {operation.pk for operation in asked} == {item.operation_id for item in linked}
    assert len({operation.instance_id for operation in asked}) == len(asked)
    assert all(item.operation is not None and item.operation.instance_id == item.instance_id for item in linked)
    assert not rollout.items.filter(status=RolloutItemStatus.RUNNING, operation=None).exists()
    return len(asked)


def test_workers_that_go_on_at_once_ask_each_instance_once(rollout: Rollout) -> None:
    gate = threading.Barrier(4)
    problems: list[BaseException] = []

    def go_on() -> None:
        try:
            gate.wait()
            rollouts.advance()
        except BaseException as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=go_on) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert check_rows(rollout) == NUMBER


def advance_and_die(statement: int) -> bool:
    """In a process that is killed (SIGKILL) before its so-and-so-many-th statement; whether it came so far."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        left = [statement]

        def count(execute: Any, *arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(*arguments)

        try:
            with connection.execute_wrapper(count):
                rollouts.advance()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_worker_that_is_killed_leaves_nothing_half_done(rollout: Rollout) -> None:
    statement, asked = 1, [0]
    while advance_and_die(statement):
        asked.append(check_rows(rollout))
        statement += 1
    # What was asked for before stays, and at least one died with something left to be done.
    assert asked == sorted(asked)
    assert 0 < asked[-1] <= check_rows(rollout) == NUMBER


def test_one_that_is_killed_while_it_writes_what_came_of_them_forgets_nothing(rollout: Rollout) -> None:
    rollouts.advance()
    Operation.objects.update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    Instance.objects.update(version=rollout.version)
    statement = 1
    while advance_and_die(statement):
        check_rows(rollout)
        statement += 1
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.FINISHED
    assert not rollout.items.exclude(status=RolloutItemStatus.UPDATED).exists()


def test_of_a_cancel_and_a_worker_at_once_nothing_begins_after_the_cancel(rollout: Rollout) -> None:
    gate = threading.Barrier(2)

    def go_on() -> None:
        try:
            gate.wait()
            rollouts.advance()
        finally:
            connection.close()

    thread = threading.Thread(target=go_on)
    thread.start()
    gate.wait()
    rollouts.cancel(rollout, operations.SYSTEM)
    asked = check_rows(rollout)
    thread.join()
    assert check_rows(rollout) == asked
    assert not rollout.items.filter(status=RolloutItemStatus.WAITING).exists()
