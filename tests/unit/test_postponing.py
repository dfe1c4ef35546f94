"""What was asked for "tonight at 2" begins then, and disturbs nobody before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from instances import audit, operations
from instances.choices import Desired, OperationKind, Origin, Outcome, Preparation, State
from instances.errors import ActionLocked, AlreadyInstalled, AlreadyPostponed, NotPostponed, OperationRunning
from instances.models import ActionLock, Backup, Instance, Operation, Version
from instances.operations import Request
from tests.factories import make_backup, make_installed, make_instance, make_operation, make_version

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


def make_newer(number: int) -> Version:
    return make_version(name=f"3.{number}", image=f"pypi:openslides==3.{number}")


def move_to(instance: Instance, version: Version) -> None:
    """An update that was asked for later, and has succeeded."""
    update = operations.update(instance, version, NOW)
    Operation.objects.filter(pk=update.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    Instance.objects.filter(pk=instance.pk).update(version=version)


@pytest.mark.parametrize("ask", [operations.backup, operations.remove])
def test_a_backup_is_of_the_time_and_the_version_in_which_it_begins(
    ask: Callable[[Instance, Request], Operation],
) -> None:
    instance, newer = make_installed(), make_newer(4)
    operation = ask(instance, tonight())
    backup = operation.backup or operation.safety_backup
    assert backup is not None
    a_week_ago = timezone.now() - timedelta(days=7)
    Backup.objects.filter(pk=backup.pk).update(created_at=a_week_ago)
    move_to(instance, newer)
    let_it_be_due(operation)
    operations.begin_due(instance.host)
    operation.refresh_from_db()
    backup.refresh_from_db()
    assert operation.status == Outcome.QUEUED
    assert backup.version == newer
    assert backup.created_at > a_week_ago


def test_what_is_restored_stays_as_it_was_made() -> None:
    instance, newer = make_installed(), make_newer(4)
    made = make_backup(instance=instance)
    operation = operations.restore(made, tonight())
    move_to(instance, newer)
    operations.begin_now(Operation.objects.get(pk=operation.pk))
    operation.refresh_from_db()
    assert operation.safety_backup is not None
    assert operation.safety_backup.version == newer
    assert Backup.objects.get(pk=made.pk).version == made.version


def test_an_update_to_what_is_too_old_by_then_fails_and_says_why() -> None:
    instance = make_installed()
    operation = operations.update(instance, make_newer(4), tonight())
    move_to(instance, make_newer(5))
    let_it_be_due(operation)
    operations.begin_due(instance.host)
    operation.refresh_from_db()
    assert operation.status == Outcome.FAILED
    assert "cannot take a database back" in operation.error


def test_what_is_not_prepared_any_more_is_prepared_when_it_begins() -> None:
    instance, newer = make_installed(), make_newer(4)
    operation = operations.update(instance, newer, tonight())
    assert operation.waits_for is None
    Version.objects.filter(pk=newer.pk).update(preparation=Preparation.NONE)
    operations.begin_now(operation)
    operation.refresh_from_db()
    assert operation.waits_for is not None
    assert (operation.waits_for.kind, operation.waits_for.version) == (OperationKind.PREPARE, newer)


def test_what_was_created_meanwhile_is_not_created_again() -> None:
    instance = make_instance()
    operation = operations.create(instance, tonight())
    Instance.objects.filter(pk=instance.pk).update(installed_at=timezone.now())
    with pytest.raises(AlreadyInstalled):
        operations.begin_now(operation)


def test_one_that_began_in_this_very_moment_is_cancelled_with_all_that_follows() -> None:
    instance = make_installed()
    read = operations.remove(instance, tonight())
    assert read.status == Outcome.POSTPONED
    operations.begin_now(Operation.objects.get(pk=read.pk))
    assert Instance.objects.get().desired_state == Desired.REMOVED
    operations.cancel(read, NOW)
    instance.refresh_from_db()
    assert read.status == Outcome.CANCELLED
    assert (instance.desired_state, Backup.objects.count()) == (Desired.ACTIVE, 0)


def test_a_cancelled_one_leaves_no_row_of_a_backup() -> None:
    operation = operations.remove(make_installed(), tonight())
    operations.cancel(operation, NOW)
    assert not Backup.objects.exists()


@pytest.mark.parametrize(
    ("kind", "permission"),
    [
        (OperationKind.START, "instances.change_instance"),
        (OperationKind.BACKUP, "instances.add_backup"),
        (OperationKind.RESTORE, "instances.restore_backup"),
        (OperationKind.REMOVE, "instances.delete_instance"),
        (OperationKind.PURGE, "instances.purge_instance"),
    ],
)
def test_who_may_ask_for_it_may_let_it_begin(kind: OperationKind, permission: str) -> None:
    assert operations.permission_to_begin(make_operation(kind=kind, status=Outcome.POSTPONED)) == permission
