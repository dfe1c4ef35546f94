"""What is not as it is wanted is mended, again and again, but not for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from deployers.states import UnitState
from instances import healing, operations
from instances.choices import Desired, OperationKind, Origin, Outcome, State
from instances.errors import ActionLocked, InstanceRemoved, NothingToTry, OperationRunning
from instances.models import ActionLock, Instance, Operation
from instances.operations import Request
from tests.factories import make_installed

pytestmark = pytest.mark.django_db


def let_time_pass(instance: Instance) -> Instance:
    """Until the next try is due, and what ran has failed."""
    Operation.objects.unfinished().update(
        status=Outcome.FAILED, finished_at=timezone.now(), error="No space left on device"
    )
    Instance.objects.filter(pk=instance.pk).update(
        retry_at=timezone.now() - timedelta(seconds=1), failure=OperationKind.START, observed_state=State.ERROR
    )
    return Instance.objects.get(pk=instance.pk)


def test_what_stopped_is_started_at_once() -> None:
    instance = make_installed()
    healing.mend(instance, UnitState.STOPPED)
    assert Operation.objects.get().kind == OperationKind.START
    instance.refresh_from_db()
    assert instance.retries == 1


def test_what_failed_waits_for_its_first_try() -> None:
    instance = make_installed()
    healing.mend(instance, UnitState.FAILED)
    assert not Operation.objects.exists()
    instance.refresh_from_db()
    assert instance.retry_at is not None
    healing.mend(instance, UnitState.FAILED)
    assert not Operation.objects.exists()


def test_tries_are_ever_rarer_and_end_with_a_call_for_attention() -> None:
    instance = make_installed()
    waits = []
    for _ in healing.DELAYS:
        healing.mend(instance, UnitState.STOPPED)
        instance.refresh_from_db()
        assert instance.retry_at is not None
        waits.append(instance.retry_at - timezone.now())
        instance = let_time_pass(instance)
    assert waits == sorted(waits)
    assert Operation.objects.count() == len(healing.DELAYS)
    healing.mend(instance, UnitState.STOPPED)
    instance.refresh_from_db()
    assert "No space left on device" in instance.attention
    for _ in range(3):
        instance = let_time_pass(instance)
        healing.mend(instance, UnitState.STOPPED)
    assert Operation.objects.count() == len(healing.DELAYS)


def test_what_somebody_asks_for_begins_anew() -> None:
    instance = make_installed(attention="It failed.", retries=5, retry_at=timezone.now(), failure=OperationKind.START)
    operations.start(instance, Request(Origin.ADMIN))
    instance.refresh_from_db()
    assert (instance.attention, instance.retries, instance.retry_at) == ("", 0, None)


def test_the_tries_of_the_system_itself_count() -> None:
    instance = make_installed(retries=3, retry_at=timezone.now())
    operations.start(instance, operations.SYSTEM)
    instance.refresh_from_db()
    assert instance.retries == 3


@pytest.mark.parametrize(("minutes", "retries"), [(11, 0), (1, 4)])
def test_what_is_well_for_a_while_is_well(minutes: int, retries: int) -> None:
    since = timezone.now() - timedelta(minutes=minutes)
    instance = make_installed(retries=4, retry_at=since, state_since=since)
    healing.forget_tries(instance)
    instance.refresh_from_db()
    assert instance.retries == retries


def test_nothing_is_filed_against_what_was_asked_for_meanwhile() -> None:
    read = make_installed()
    Instance.objects.update(desired_state=Desired.STOPPED)
    healing.mend(read, UnitState.STOPPED)
    assert not Operation.objects.exists()


TRIED: dict[str, Any] = {"attention": "5 tries were in vain.", "retries": 5, "retry_at": timezone.now()}


@pytest.mark.parametrize(
    ("desired", "kind"),
    [
        (Desired.ACTIVE, OperationKind.START),
        (Desired.STOPPED, OperationKind.STOP),
        (Desired.REMOVED, OperationKind.REMOVE),
    ],
)
def test_to_try_again_files_what_is_missing_and_counts_anew(desired: Desired, kind: OperationKind) -> None:
    instance = make_installed(**TRIED, desired_state=desired)
    assert operations.try_again(instance, Request(Origin.API)).kind == kind
    instance.refresh_from_db()
    assert (instance.attention, instance.retries, instance.retry_at) == ("", 0, None)


def test_after_it_was_tried_again_in_vain_the_system_goes_on() -> None:
    instance = make_installed(**TRIED)
    operations.try_again(instance, Request(Origin.API))
    instance = let_time_pass(instance)
    before = Operation.objects.count()
    healing.mend(instance, UnitState.STOPPED)
    assert Operation.objects.count() == before + 1


def test_what_is_waited_for_can_be_tried_at_once() -> None:
    instance = make_installed(retries=1, retry_at=timezone.now() + timedelta(minutes=5))
    operations.try_again(instance, Request(Origin.API))
    assert Operation.objects.get().kind == OperationKind.START


def test_without_a_try_there_is_none_to_repeat() -> None:
    with pytest.raises(NothingToTry):
        operations.try_again(make_installed(), Request(Origin.API))
    assert not Operation.objects.exists()


def test_what_is_busy_locked_or_gone_is_not_tried_again() -> None:
    busy, locked, gone = make_installed(**TRIED), make_installed(**TRIED), make_installed(**TRIED)
    operations.backup(busy, operations.SYSTEM)
    ActionLock.objects.create(instance=locked, action=OperationKind.START, reason="The assembly is on")
    Instance.objects.filter(pk=gone.pk).update(removed_at=timezone.now())
    for instance, refusal in ((busy, OperationRunning), (locked, ActionLocked), (gone, InstanceRemoved)):
        with pytest.raises(refusal):
            operations.try_again(instance, Request(Origin.API))
        instance.refresh_from_db()
        assert instance.attention
    assert Operation.objects.count() == 1


NOT_REMOVED = {"installed_at": None, "desired_state": Desired.REMOVED}


@pytest.mark.parametrize(
    ("values", "unit", "missing"),
    [
        ({}, UnitState.RUNNING, False),
        ({}, UnitState.LISTENING, False),
        ({}, UnitState.STOPPED, True),
        ({}, UnitState.FAILED, True),
        ({"failure": OperationKind.UPDATE}, UnitState.RUNNING, False),
        ({"desired_state": Desired.STOPPED}, UnitState.STOPPED, False),
        ({"desired_state": Desired.STOPPED}, UnitState.FAILED, False),
        ({"desired_state": Desired.STOPPED}, UnitState.LISTENING, True),
        ({"desired_state": Desired.REMOVED}, UnitState.STOPPED, True),
        ({"failure": OperationKind.STOP, "desired_state": Desired.STOPPED}, UnitState.STOPPED, True),
        ({"failure": OperationKind.BACKUP, "desired_state": Desired.STOPPED}, UnitState.STOPPED, False),
        ({"installed_at": None, "failure": OperationKind.CREATE}, UnitState.STOPPED, False),
        (
            {"installed_at": None, "failure": OperationKind.REMOVE, "desired_state": Desired.REMOVED},
            UnitState.STOPPED,
            True,
        ),
        (
            {"installed_at": None, "failure": OperationKind.PURGE, "desired_state": Desired.REMOVED},
            UnitState.STOPPED,
            True,
        ),
    ],
)
def test_what_is_missing(values: dict[str, object], unit: UnitState, missing: bool) -> None:
    assert healing.is_missing(make_installed(**values), unit) is missing


def test_what_was_to_be_purged_is_purged_and_not_only_removed() -> None:
    waited = timezone.now() - timedelta(minutes=1)
    instance = make_installed(failure=OperationKind.PURGE, desired_state=Desired.REMOVED, retry_at=waited)
    healing.mend(instance, UnitState.STOPPED)
    operation = Operation.objects.get()
    assert (operation.kind, operation.safety_backup) == (OperationKind.PURGE, None)


def test_to_try_a_purge_again_is_a_purge_and_needs_its_permission() -> None:
    instance = make_installed(**TRIED, failure=OperationKind.PURGE, desired_state=Desired.REMOVED)
    assert operations.permission_to_try_again(instance) == "instances.purge_instance"
    assert operations.try_again(instance, Request(Origin.API)).kind == OperationKind.PURGE
