"""An operation that is cancelled, or takes too long, ends; and what it had done is undone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from deployers import interruption
from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
from deployers.commands import run as run_command
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.plan import Log, Plan, Serving, Step
from instances import claims, operations, runner
from instances.choices import BackupReason, Desired, OperationKind, Origin, Outcome, Preparation, State, StepStatus
from instances.errors import CannotCancel
from instances.models import Backup, Instance, Operation
from instances.operations import Request
from tests.factories import make_installed, make_instance, make_operation, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

BY_HAND = Request(Origin.COMMAND)


def making(path: Path, name: str) -> Step:
    return Step(
        f"make {name}",
        lambda log: (path / name).touch(),
        lambda log: (path / name).unlink(missing_ok=True),
    )


def waits(log: Log) -> None:
    interruption.sleep(60)


def runs_a_program(log: Log) -> None:
    run_command(["sleep", "60"], log=log, timeout=60)


def run_and_meanwhile(operation: Operation, plan: Plan, meanwhile: Callable[[], None]) -> Operation:
    """Run the plan in this thread; ``meanwhile`` runs in another one as soon as its step "wait" has begun."""
    failures: list[BaseException] = []

    def other() -> None:
        try:
            deadline = time.monotonic() + 60
            while not operation.steps.filter(name="wait", status=StepStatus.RUNNING).exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            meanwhile()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: plan)
        thread.start()
        runner.run(operation.pk)
    thread.join()
    assert not failures
    operation.refresh_from_db()
    return operation


def test_what_waits_ends_at_once_and_what_was_wanted_before_is_wanted_again() -> None:
    instance = make_installed(desired_state=Desired.STOPPED, observed_state=State.STOPPED)
    operation = operations.start(instance, BY_HAND)
    assert Instance.objects.get().desired_state == Desired.ACTIVE
    user = make_user()
    operations.cancel(operation, Request(Origin.API, user))
    operation.refresh_from_db()
    assert operation.status == Outcome.CANCELLED
    assert str(user) in operation.error
    assert Instance.objects.get().desired_state == Desired.STOPPED
    runner.run(operation.pk)
    assert Operation.objects.get().attempts == 0


def test_with_a_preparation_all_ends_that_waits_for_it() -> None:
    version = make_version(preparation=Preparation.NONE)
    instance = make_instance(version=version)
    creation = operations.create(instance, BY_HAND)
    assert creation.waits_for is not None
    operations.cancel(creation.waits_for, BY_HAND)
    creation.refresh_from_db()
    version.refresh_from_db()
    assert creation.status == Outcome.CANCELLED
    assert str(creation.waits_for_id) in creation.error
    assert version.preparation == Preparation.NONE
    assert Instance.objects.get().observed_state == State.NEW


def test_a_backup_that_was_never_made_leaves_no_row() -> None:
    operation = operations.backup(make_installed(), BY_HAND)
    operations.cancel(operation, BY_HAND)
    assert not Backup.objects.exists()


@pytest.mark.parametrize("do", [waits, runs_a_program])
def test_what_runs_is_ended_and_undone(tmp_path: Path, do: Callable[[Log], None]) -> None:
    instance = make_installed(desired_state=Desired.STOPPED)
    operation = operations.start(instance, BY_HAND)
    plan = (making(tmp_path, "a"), Step("wait", do), making(tmp_path, "b"))
    operation = run_and_meanwhile(operation, plan, lambda: void(operations.cancel(operation, BY_HAND)))
    assert operation.status == Outcome.CANCELLED
    assert list(operation.steps.values_list("status", flat=True)) == ["undone", "failed", "waiting"]
    assert not list(tmp_path.iterdir())
    instance.refresh_from_db()
    assert (instance.desired_state, instance.failure) == (Desired.STOPPED, "")


def void(value: object) -> None:
    """For a lambda that shall return nothing."""


def test_between_two_steps_it_ends_too(tmp_path: Path) -> None:
    operation = make_operation()

    def cancel(log: Log) -> None:
        operations.cancel(Operation.objects.get(pk=operation.pk), BY_HAND)

    plan = (making(tmp_path, "a"), Step("cancel", cancel), making(tmp_path, "b"))
    operation = run(operation, plan)
    assert operation.status == Outcome.CANCELLED
    assert not list(tmp_path.iterdir())


def run(operation: Operation, plan: Plan) -> Operation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: plan)
        runner.run(operation.pk)
    operation.refresh_from_db()
    return operation


def test_from_a_final_step_on_there_is_no_way_back() -> None:
    operation = make_operation()
    refusals: list[str] = []

    def cancel(log: Log) -> None:
        with pytest.raises(CannotCancel) as refused:
            operations.cancel(Operation.objects.get(pk=operation.pk), BY_HAND)
        refusals.append(str(refused.value))

    operation = run(operation, (Step("delete", cancel, final=True), Step("more", lambda log: None)))
    assert operation.status == Outcome.SUCCEEDED
    assert "no way back" in refusals[0]
    with pytest.raises(CannotCancel, match="ended already"):
        operations.cancel(operation, BY_HAND)


def test_whoever_asks_before_the_final_step_is_in_time(tmp_path: Path) -> None:
    operation = make_operation()

    def cancel(log: Log) -> None:
        operations.cancel(Operation.objects.get(pk=operation.pk), BY_HAND)

    plan = (Step("cancel", cancel), Step("delete", lambda log: (tmp_path / "deleted").touch(), final=True))
    assert run(operation, plan).status == Outcome.CANCELLED
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_worker_had_done_is_undone_too(tmp_path: Path) -> None:
    """The worker died at the third step, and the operation was cancelled before another one took it up."""
    operation = make_operation()
    plan = (making(tmp_path, "a"), making(tmp_path, "b"), making(tmp_path, "c"))
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    taken = claims.take(operation.pk)
    assert taken is not None
    claims.advance(taken, 3)
    Operation.objects.filter(pk=operation.pk).update(worker="another-boot/pid:[1]/1/1", heartbeat_at=None)
    operations.cancel(operation, BY_HAND)
    assert run(operation, plan).status == Outcome.CANCELLED
    assert not list(tmp_path.iterdir())


def test_what_was_begun_and_given_back_is_undone_by_the_next_worker(tmp_path: Path) -> None:
    """A worker that was stopped, or lost its database, leaves an operation that waits, and half of what it made."""
    operation = make_operation()
    plan = (making(tmp_path, "a"), making(tmp_path, "b"))
    (tmp_path / "a").touch()
    taken = claims.take(operation.pk)
    assert taken is not None
    claims.advance(taken, 1)
    claims.release(taken, counts=False)
    operation.refresh_from_db()
    assert operations.cancel(operation, BY_HAND).status == Outcome.QUEUED
    assert run(operation, plan).status == Outcome.CANCELLED
    assert not list(tmp_path.iterdir())


def test_a_step_that_takes_too_long_is_ended_and_undone(tmp_path: Path) -> None:
    operation = make_operation()
    plan = (making(tmp_path, "a"), Step("wait", waits, seconds=0.1))
    operation = run(operation, plan)
    assert operation.status == Outcome.FAILED
    assert operation.failed_step == "wait"
    assert "longer than this step may take" in operation.error
    assert not list(tmp_path.iterdir())


def test_the_downtime_is_measured_also_when_it_ends_by_the_undo() -> None:
    def fails(log: Log) -> None:
        raise OSError("disk")

    up = Step("check", lambda log: None, serving=Serving.RETURNS)
    stop = Step("stop", lambda log: None, lambda log: None, serving=Serving.ENDS)
    done = run(make_operation(), (stop, up))
    failed = run(make_operation(), (stop, Step("fail", fails), up))
    never = run(make_operation(), (Step("look", lambda log: None),))
    assert done.down_seconds is not None
    assert failed.down_seconds is not None
    assert 0 <= done.down_seconds < 60
    assert never.down_seconds is None


def test_a_safety_backup_goes_with_its_operation() -> None:
    instance = make_installed()
    operation = operations.remove(instance, BY_HAND)
    assert operation.safety_backup is not None
    assert operation.safety_backup.reason == BackupReason.REMOVE
    operations.cancel(operation, BY_HAND)
    assert not Backup.objects.exists()
    instance.refresh_from_db()
    assert instance.desired_state == Desired.ACTIVE


def make_removed() -> Instance:
    now = timezone.now()
    return make_installed(desired_state=Desired.REMOVED, removed_at=now, observed_state=State.STOPPED)


def test_a_purge_of_what_was_removed_leaves_it_stopped_when_it_is_cancelled() -> None:
    instance = make_removed()
    operation = operations.purge(instance, BY_HAND)
    assert Instance.objects.get().observed_state == State.REMOVING
    operations.cancel(operation, BY_HAND)
    assert Instance.objects.get().observed_state == State.STOPPED


def test_a_purge_of_what_was_removed_leaves_it_stopped_when_it_fails() -> None:
    def fails(log: Log) -> None:
        raise OSError("disk")

    operation = run(operations.purge(make_removed(), BY_HAND), (Step("delete", fails),))
    instance = Instance.objects.get()
    assert operation.status == Outcome.FAILED
    assert (instance.observed_state, instance.failure) == (State.STOPPED, OperationKind.PURGE)


@pytest.mark.parametrize("running", [True, False])
def test_an_instance_that_does_not_run_has_no_downtime(tmp_path: Path, running: bool) -> None:
    instance, newer = make_installed(), make_version(name="3.3-newer")
    deployer = embedded_deployer(EmbeddedSettings(data_dir=tmp_path))
    archive = Archive(FolderStore(tmp_path), "one.tar")
    for plan in (
        deployer.update(instance.spec(), newer.spec(), "1", archive, running=running),
        deployer.restore(instance.spec(), newer.spec(), "1", archive, running=running),
    ):
        assert any(step.serving is Serving.ENDS for step in plan) == running
