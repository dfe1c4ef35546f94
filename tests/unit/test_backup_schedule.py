"""Backups by schedule, and verifications now and then: which are due, and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import backups, operations
from instances.backups import due_since, slot
from instances.choices import BackupReason, OperationKind, Origin, Outcome
from instances.models import ActionLock, Backup, Host, Instance, Operation
from instances.models.instance import new_instance_id
from tests.factories import make_backup, make_domain, make_host, make_installed, make_instance, make_version

AN_ID = "0123456789abcdef0123456789abcdef"
MIDDAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def end(operation: Operation, outcome: Outcome = Outcome.SUCCEEDED, **values: Any) -> None:
    Operation.objects.filter(pk=operation.pk).update(status=outcome, finished_at=timezone.now(), **values)
    if operation.backup is not None and outcome == Outcome.SUCCEEDED:
        backups.complete(operation.backup, 1, "0" * 64, operation.backup.created_at)


@pytest.mark.parametrize("hours", [6, 12, 24, 168])
def test_a_period_lasts_as_long_as_it_says(hours: int) -> None:
    began = slot(AN_ID, hours, MIDDAY)
    assert began <= MIDDAY < began + timedelta(hours=hours)
    assert slot(AN_ID, hours, began) == began
    assert slot(AN_ID, hours, began + timedelta(hours=hours) - timedelta(seconds=1)) == began


def test_instances_do_not_begin_all_at_once() -> None:
    began = [slot(new_instance_id(), 24, MIDDAY) for _ in range(240)]
    of_each_hour = [sum(time.hour == hour for time in began) for hour in range(24)]
    assert max(of_each_hour) < 40


@pytest.mark.parametrize(
    ("made", "tried", "due"),
    [
        (None, None, True),
        (1, None, False),
        (30, 30, True),
        (30, 0.5, False),  # the last try failed half an hour ago
        (30, 1.5, True),
        (None, 0.5, False),
        (240, 240, True),
    ],
)
def test_when_a_backup_is_due(made: float | None, tried: float | None, due: bool) -> None:
    """``made`` and ``tried``: hours before, at the end of the period."""
    now = slot(AN_ID, 24, MIDDAY) + timedelta(hours=23)
    times = [None if hours is None else now - timedelta(hours=hours) for hours in (made, tried)]
    assert (due_since(AN_ID, 24, times[0], times[1], now) is not None) == due


@pytest.mark.django_db
def test_a_scheduled_backup_is_filed_once_in_its_period() -> None:
    instance = make_installed(backup_hours=24)
    make_installed()
    make_instance(backup_hours=24)
    now = timezone.now()
    (operation,) = backups.file_due(now)
    assert (operation.instance, operation.kind, operation.requested_via) == (
        instance,
        OperationKind.BACKUP,
        Origin.SYSTEM,
    )
    assert Backup.objects.get().reason == BackupReason.SCHEDULED
    end(operation)
    assert backups.file_due(now) == []
    assert len(backups.file_due(now + 25 * HOUR)) == 1


@pytest.mark.django_db
def test_one_that_failed_is_tried_again_after_an_hour() -> None:
    instance = make_installed(backup_hours=24)
    (operation,) = backups.file_due(timezone.now())
    end(operation, Outcome.FAILED)
    Backup.objects.all().delete()
    assert backups.last_failure(instance) == operation
    assert backups.file_due(timezone.now() + HOUR / 2) == []
    assert len(backups.file_due(timezone.now() + 2 * HOUR)) == 1


@pytest.mark.django_db
def test_a_backup_that_is_damaged_is_made_anew() -> None:
    instance = make_installed(backup_hours=168)
    (operation,) = backups.file_due(timezone.now())
    end(operation, created_at=timezone.now() - 2 * HOUR)
    assert backups.file_due(timezone.now()) == []
    instance.backups.update(problem="Its end is missing.")
    assert len(backups.file_due(timezone.now())) == 1


@pytest.mark.django_db
def test_what_is_locked_busy_or_removed_is_left_alone() -> None:
    locked, busy = make_installed(backup_hours=6), make_installed(backup_hours=6)
    make_installed(backup_hours=6, removed_at=timezone.now())
    ActionLock.objects.create(instance=locked, action=OperationKind.BACKUP, reason="The disk is full")
    operations.stop(busy, operations.SYSTEM)
    assert backups.file_due(timezone.now()) == []
    locked.locks.all().delete()
    Operation.objects.update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    assert len(backups.file_due(timezone.now())) == 2


@pytest.mark.django_db
def test_so_many_of_a_host_at_once(settings: Any) -> None:
    settings.BACKUPS_AT_ONCE = 2
    for host in (make_host(), make_host()):
        for _ in range(4):
            make_installed(host=host, backup_hours=6)
    assert len(backups.file_due(timezone.now())) == 4
    assert backups.file_due(timezone.now()) == []
    end(Operation.objects.all()[0])
    assert len(backups.file_due(timezone.now())) == 1


@pytest.mark.django_db
def test_the_one_that_is_due_for_longest_is_first(settings: Any) -> None:
    settings.BACKUPS_AT_ONCE = 1
    host = make_host()
    now = timezone.now()
    for days in (2, 9, 3):
        instance = make_installed(host=host, backup_hours=6)
        at = now - timedelta(days=days)
        make_backup(instance=instance, reason=BackupReason.SCHEDULED, created_at=at, completed_at=at)
        if days == 9:
            oldest = instance
    assert [operation.instance for operation in backups.file_due(now)] == [oldest]


@pytest.mark.django_db
def test_the_instance_that_was_not_verified_for_longest_has_its_newest_backup_verified(settings: Any) -> None:
    settings.BACKUP_VERIFY_HOURS = 24
    now = timezone.now()
    often, never, seldom = make_installed(), make_installed(), make_installed()
    make_backup(instance=often, verified_at=now - 2 * HOUR)
    make_backup(instance=never, completed_at=now - 3 * HOUR)
    newest = make_backup(instance=never, completed_at=now - HOUR)
    make_backup(instance=never, completed_at=None)
    make_backup(instance=seldom, completed_at=now - 30 * HOUR, verified_at=now - 30 * HOUR)
    third = make_backup(instance=seldom, completed_at=now - HOUR)
    first = backups.verify_next(now)
    assert first is not None
    assert (first.kind, first.backup) == (OperationKind.VERIFY, newest)
    assert backups.verify_next(now + 30 * HOUR) is None  # one at a time
    end(first)
    Backup.objects.filter(pk=newest.pk).update(verified_at=now)
    assert backups.verify_next(now + 23 * HOUR) is None
    second = backups.verify_next(now + 25 * HOUR)
    assert second is not None
    assert second.backup == third


@pytest.mark.django_db
def test_a_host_that_is_dead_keeps_no_other_from_verifying(settings: Any) -> None:
    settings.BACKUP_VERIFY_HOURS = 24
    now = timezone.now()
    dead, alive = make_host(), make_host()
    make_backup(instance=make_installed(host=dead))
    first = backups.verify_next(now)
    assert first is not None
    assert first.host == dead
    Host.objects.filter(pk=dead.pk).update(last_seen=now - HOUR)
    assert backups.verify_next(now) is None  # there is no backup of a host that could
    backup = make_backup(instance=make_installed(host=alive))
    make_backup(instance=make_installed(host=dead))
    second = backups.verify_next(now)
    assert second is not None
    assert second.backup == backup
    assert backups.verify_next(now + 30 * HOUR) is None  # that one is not finished


@pytest.mark.django_db
def test_one_that_cannot_be_verified_just_now_lets_others_have_their_turn(settings: Any) -> None:
    """Its store is away, for example: that says nothing of it, so it stays the one not verified for longest."""
    settings.BACKUP_VERIFY_HOURS = 24
    now = timezone.now()
    make_backup(instance=make_installed(), completed_at=now - 2 * HOUR)
    other = make_backup(instance=make_installed(), completed_at=now - HOUR)
    first = backups.verify_next(now)
    assert first is not None
    assert first.backup != other
    end(first, Outcome.FAILED)
    second = backups.verify_next(now + 25 * HOUR)
    assert second is not None
    assert second.backup == other


@pytest.mark.django_db
def test_verification_can_be_switched_off(settings: Any) -> None:
    settings.BACKUP_VERIFY_HOURS = 0
    make_backup()
    assert backups.verify_next(timezone.now()) is None


@pytest.mark.django_db
def test_looking_after_backups_costs_the_same_for_one_and_for_many() -> None:
    now = timezone.now()
    host, domain, version = make_host(), make_domain(), make_version()

    def more(count: int) -> None:
        for _ in range(count):
            instance: Instance = make_installed(host=host, domain=domain, version=version, backup_hours=24)
            for days in (0, 1):
                at = now - timedelta(days=days)
                make_backup(instance=instance, reason=BackupReason.SCHEDULED, created_at=at, completed_at=at)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            backups.look_after(now)
        return len(captured)

    more(2)
    backups.look_after(now)  # files a verification
    few = queries()
    more(20)
    assert queries() <= few <= 6
