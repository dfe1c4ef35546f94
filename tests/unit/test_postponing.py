"""What was asked for "tonight at 2" begins then, and disturbs nobody before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from instances import audit, operations
from instances.choices import Desired, OperationKind, Origin, Outcome, State
from instances.errors import ActionLocked, AlreadyPostponed, NotPostponed, OperationRunning
from instances.models import ActionLock, Backup, Instance, Operation
from instances.operations import Request
from tests.factories import make_installed, make_instance, make_version

pytestmark = pytest.mark.django_db

NOW = Request(Origin.COMMAND)


def tonight() -> Request:
    return Request(Origin.COMMAND, not_before=timezone.now() + timedelta(hours=8))


def let_it_be_due(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(not_before=timezone.now() - timedelta(seconds=1))


def test_it_changes_nothing_before_its_time() -> None:
    instance = make_installed()
    operation = operations.stop(instance, tonight())
    operations.begin_due(instance.host)
    operation.refresh_from_db()
    instance.refresh_from_db()
    assert operation.status == Outcome.POSTPONED
    assert (instance.desired_state, instance.observed_state) == (Desired.ACTIVE, State.ACTIVE)
    assert instance.unfinished_operation is None
    operations.start(instance, NOW)


def test_when_its_time_has_come_it_begins() -> None:
    instance = make_installed()
    operation = operations.stop(instance, tonight())
    let_it_be_due(operation)
    operations.begin_due(instance.host)
    operation.refresh_from_db()
    instance.refresh_from_db()
    assert operation.status == Outcome.QUEUED
    assert (operation.previous_desired, instance.desired_state) == (Desired.ACTIVE, Desired.STOPPED)


def test_it_waits_for_one_that_runs() -> None:
    instance = make_installed()
    postponed = operations.stop(instance, tonight())
    let_it_be_due(postponed)
    running = operations.start(instance, NOW)
    operations.begin_due(instance.host)
    postponed.refresh_from_db()
    assert postponed.status == Outcome.POSTPONED
    assert Instance.objects.get().desired_state == Desired.ACTIVE
    Operation.objects.filter(pk=running.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    operations.begin_due(instance.host)
    postponed.refresh_from_db()
    assert postponed.status == Outcome.QUEUED


def test_the_same_twice_is_refused() -> None:
    instance = make_installed()
    first = operations.stop(instance, tonight())
    with pytest.raises(AlreadyPostponed, match=str(first.pk)):
        operations.stop(instance, tonight())
    operations.start(instance, tonight())


def test_one_that_is_locked_meanwhile_fails_and_says_why() -> None:
    instance = make_installed()
    operation = operations.update(instance, make_version(image="pypi:openslides==3.4"), tonight())
    assert Backup.objects.count() == 1
    ActionLock.objects.create(instance=instance, action=OperationKind.UPDATE, reason="The assembly is on")
    let_it_be_due(operation)
    operations.begin_due(instance.host)
    operation.refresh_from_db()
    assert operation.status == Outcome.FAILED
    assert "The assembly is on" in operation.error
    assert not Backup.objects.exists()


def test_a_removal_cancels_what_was_postponed() -> None:
    instance = make_installed()
    postponed = operations.stop(instance, tonight())
    operations.remove(instance, NOW)
    postponed.refresh_from_db()
    assert postponed.status == Outcome.CANCELLED


def test_a_creation_can_be_postponed_and_cancelled() -> None:
    instance = make_instance()
    operation = operations.create(instance, tonight())
    assert Instance.objects.get().observed_state == State.NEW
    operations.cancel(operation, NOW)
    operations.create(instance, NOW)


def test_a_lock_is_for_everybody_and_names_its_reason() -> None:
    instance = make_installed()
    ActionLock.objects.create(instance=instance, action=OperationKind.STOP, reason="The assembly is on")
    for request in (NOW, tonight(), operations.SYSTEM):
        with pytest.raises(ActionLocked, match="The assembly is on"):
            operations.stop(instance, request)
    assert not Operation.objects.exists()
    operations.start(instance, NOW)


def test_it_can_begin_before_its_time() -> None:
    instance = make_installed()
    operation = operations.stop(instance, tonight())
    operations.begin_now(operation)
    operation.refresh_from_db()
    instance.refresh_from_db()
    assert (operation.status, instance.desired_state) == (Outcome.QUEUED, Desired.STOPPED)
    assert audit.entries_of(instance)[0].additional_data["action"] == "begun before its time"
    with pytest.raises(NotPostponed):
        operations.begin_now(operation)


def test_one_that_was_read_while_it_was_postponed_begins_once() -> None:
    operation = operations.stop(make_installed(), tonight())
    read = Operation.objects.get(pk=operation.pk)
    operations.begin_now(operation)
    with pytest.raises((NotPostponed, OperationRunning)):
        operations.begin_now(read)


def test_it_does_not_begin_beside_another_or_against_a_lock() -> None:
    busy, locked = make_installed(), make_installed()
    for instance in (busy, locked):
        operations.stop(instance, tonight())
    operations.start(busy, NOW)
    ActionLock.objects.create(instance=locked, action=OperationKind.STOP, reason="The assembly is on")
    for instance, refusal in ((busy, OperationRunning), (locked, ActionLocked)):
        postponed = Operation.objects.get(instance=instance, status=Outcome.POSTPONED)
        with pytest.raises(refusal):
            operations.begin_now(postponed)
        postponed.refresh_from_db()
        assert postponed.status == Outcome.POSTPONED
