"""Operations that make backups, and that bring their data back: what is filed, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from instances import operations
from instances.choices import BackupReason, Desired, OperationKind, Origin, Outcome, Preparation, State
from instances.errors import BackupInUse, BackupUnusable, NotInstalled, NotRemoved, OperationRunning
from instances.models import Backup, Instance, Operation
from instances.operations import Request
from instances.planning import NoPlan, plan_of
from tests.factories import make_installed, make_instance, make_version

pytestmark = pytest.mark.django_db

BY_HAND = Request(Origin.COMMAND)


def make_backup(instance: Instance, **values: Any) -> Backup:
    return Backup.objects.create(
        **{
            "instance": instance,
            "version": instance.version,
            "host": instance.host,
            "db": instance.db,
            "name": f"{instance.pk}/{Backup.objects.count()}.tar",
            "completed_at": timezone.now(),
            **values,
        }
    )


def end(operation: Operation, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    Operation.objects.filter(pk=operation.pk).update(status=outcome, finished_at=timezone.now())


def test_a_backup_has_its_row_from_the_beginning() -> None:
    instance = make_installed()
    operation = operations.backup(instance, BY_HAND)
    backup = Backup.objects.get()
    assert operation.backup == backup
    assert not backup.is_complete
    assert backup.name.startswith(f"{instance.pk}/")
    assert (backup.version, backup.db, backup.reason) == (instance.version, instance.db, BackupReason.MANUAL)
    with pytest.raises(NotInstalled):
        operations.backup(make_instance(), BY_HAND)


def test_update_and_removal_back_up_first() -> None:
    instance = make_installed()
    update = operations.update(instance, make_version(image="pypi:openslides==3.4"), BY_HAND)
    assert update.safety_backup is not None
    assert update.safety_backup.reason == BackupReason.UPDATE
    end(update)
    removal = operations.remove(instance, BY_HAND)
    assert removal.safety_backup is not None
    assert removal.safety_backup.reason == BackupReason.REMOVE
    assert operations.remove(make_instance(), BY_HAND).safety_backup is None


def test_a_refused_operation_leaves_no_row_of_a_backup() -> None:
    instance = make_installed()
    operations.start(instance, BY_HAND)
    for ask in (operations.backup, operations.remove):
        with pytest.raises(OperationRunning):
            ask(instance, BY_HAND)
    assert not Backup.objects.exists()


def test_a_restore_names_backup_and_version_and_backs_up_first() -> None:
    instance = make_installed()
    old = make_version(preparation=Preparation.NONE)
    backup = make_backup(instance, version=old)
    operation = operations.restore(backup, BY_HAND)
    assert (operation.backup, operation.version) == (backup, old)
    assert operation.waits_for is not None
    assert operation.waits_for.kind == OperationKind.PREPARE
    assert operation.safety_backup is not None
    assert operation.safety_backup.reason == BackupReason.RESTORE
    assert Instance.objects.get(pk=instance.pk).observed_state == State.UPDATING


def test_a_backup_that_is_not_complete_cannot_be_restored_or_verified() -> None:
    backup = make_backup(make_installed(), completed_at=None)
    for ask in (operations.restore, operations.verify):
        with pytest.raises(BackupUnusable, match="not complete"):
            ask(backup, BY_HAND)


def test_one_verification_at_a_time() -> None:
    backup = make_backup(make_installed())
    first = operations.verify(backup, BY_HAND)
    assert (first.instance, str(first.subject)) == (None, str(backup))
    with pytest.raises(OperationRunning):
        operations.verify(backup, BY_HAND)
    operations.start(backup.instance, BY_HAND)


def test_a_clone_waits_for_the_backup_and_takes_over_what_is_in_it() -> None:
    source = make_installed(event_name="Annual assembly", superadmin_password="as-in-the-data")
    new = Instance(slug="copy", domain=source.domain, version=make_version())
    creation = operations.clone(source, new, BY_HAND)
    assert creation.waits_for is not None
    assert creation.waits_for.kind == OperationKind.BACKUP
    assert creation.backup == creation.waits_for.backup
    new.refresh_from_db()
    assert (new.version, new.host, new.event_name) == (source.version, source.host, "Annual assembly")
    assert new.superadmin_password == "as-in-the-data"
    assert new.secret_key != source.secret_key


def test_a_clone_whose_backup_failed_does_not_become_an_empty_event() -> None:
    source = make_installed()
    creation = operations.clone(source, Instance(slug="copy", domain=source.domain, version=source.version), BY_HAND)
    assert creation.waits_for is not None
    end(creation.waits_for, Outcome.FAILED)
    end(creation, Outcome.FAILED)
    Backup.objects.all().delete()
    with pytest.raises(BackupUnusable, match="clone again"):
        operations.create(Instance.objects.get(slug="copy"), BY_HAND)


def removed(**values: Any) -> Instance:
    return make_installed(
        desired_state=Desired.REMOVED, removed_at=timezone.now(), observed_state=State.STOPPED, **values
    )


def test_what_was_removed_comes_back_under_its_name_with_its_newest_backup() -> None:
    instance = removed()
    make_backup(instance)
    newest = make_backup(instance)
    make_backup(instance, completed_at=None)
    operation = operations.bring_back(instance, BY_HAND)
    instance.refresh_from_db()
    assert (operation.kind, operation.backup) == (OperationKind.CREATE, newest)
    assert (instance.removed_at, instance.installed_at, instance.desired_state) == (None, None, Desired.ACTIVE)
    end(operation, Outcome.FAILED)
    assert operations.create(instance, BY_HAND).backup == newest


def test_the_newest_data_come_back_whenever_their_backup_was_asked_for() -> None:
    """A removal that was filed a week before it began, and last night's scheduled backup."""
    instance, now = removed(), timezone.now()
    last = make_backup(instance, created_at=now - timedelta(days=7), completed_at=now)
    last_night = now - timedelta(hours=12)
    make_backup(instance, created_at=last_night, completed_at=last_night)
    assert operations.bring_back(instance, BY_HAND).backup == last


def test_what_cannot_come_back_stays_as_it_is() -> None:
    with pytest.raises(NotRemoved):
        operations.bring_back(make_installed(), BY_HAND)
    instance = removed()
    with pytest.raises(BackupUnusable, match="no backup"):
        operations.bring_back(instance, BY_HAND)
    make_backup(instance)
    make_installed(slug=instance.slug, domain=instance.domain)
    with pytest.raises(ValidationError):
        operations.bring_back(instance, BY_HAND)
    assert Instance.objects.get(pk=instance.pk).removed_at is not None


def test_a_purge_takes_what_is_there_and_what_was_removed() -> None:
    for instance in (make_installed(), removed()):
        operation = operations.purge(instance, BY_HAND)
        instance.refresh_from_db()
        assert (operation.safety_backup, instance.desired_state) == (None, Desired.REMOVED)


def test_what_another_instance_is_being_made_of_is_not_purged() -> None:
    source = make_installed()
    creation = operations.clone(source, Instance(slug="copy", domain=source.domain, version=source.version), BY_HAND)
    assert creation.waits_for is not None
    end(creation.waits_for)
    with pytest.raises(BackupInUse, match=f"Operation {creation.pk}"):
        operations.purge(source, BY_HAND)
    end(creation, Outcome.FAILED)
    operations.purge(source, BY_HAND)


def test_a_verification_keeps_nobody_from_a_purge() -> None:
    backup = make_backup(make_installed())
    operations.verify(backup, BY_HAND)
    operations.purge(backup.instance, BY_HAND)


def test_a_postponed_purge_waits_for_what_is_being_made_of_its_backups() -> None:
    instance = make_installed()
    backup = make_backup(instance)
    purge = operations.purge(instance, Request(Origin.COMMAND, not_before=timezone.now() + timedelta(hours=8)))
    copy = operations.create(Instance(slug="copy", domain=instance.domain), BY_HAND, backup)
    Operation.objects.filter(pk=purge.pk).update(not_before=timezone.now())
    operations.begin_due(instance.host)
    purge.refresh_from_db()
    assert purge.status == Outcome.POSTPONED
    end(copy)
    operations.begin_due(instance.host)
    purge.refresh_from_db()
    assert purge.status == Outcome.QUEUED


def test_without_its_backup_a_clone_never_becomes_an_empty_event() -> None:
    backup = make_backup(make_installed())
    copy = Instance(slug="copy", domain=backup.instance.domain)
    creation = operations.create(copy, BY_HAND, backup)
    Backup.objects.all().delete()
    creation.refresh_from_db()
    with pytest.raises(NoPlan, match="deleted meanwhile"):
        plan_of(creation, copy)
    end(creation, Outcome.FAILED)
    with pytest.raises(BackupUnusable, match="clone again"):
        operations.create(copy, BY_HAND)
