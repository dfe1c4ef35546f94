"""A plan's steps are recorded, and undone when one of them fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployers.errors import DeployError
from deployers.plan import Log, Plan, Step
from instances import claims, runner, worker
from instances.choices import OperationKind, Outcome, StepStatus
from instances.models import Operation, OperationStep
from instances.recorder import HIDDEN, Recorder
from tests.factories import make_instance

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operation() -> Operation:
    instance = make_instance(superadmin_password="s3cret-of-the-superadmin")
    filed = Operation.objects.create(kind=OperationKind.CREATE, instance=instance, host=instance.host)
    taken = claims.take(filed.pk)
    assert taken is not None
    return taken


@pytest.fixture
def recorder(operation: Operation) -> Iterator[Recorder]:
    assert operation.instance is not None
    with Recorder(operation) as recorder:
        recorder.hide(operation.instance.spec().secrets)
        yield recorder


def making(path: Path, name: str) -> Step:
    """A step that makes a file, and takes it back."""

    def do(log: Log) -> None:
        (path / name).write_text(name)
        log(f"made {name}")

    return Step(f"make {name}", do, lambda log: (path / name).unlink(missing_ok=True))


def failing(error: Exception, undo: Path | None = None) -> Step:
    def do(log: Log) -> None:
        if undo is not None:
            undo.write_text("half")
        raise error

    return Step("fail", do, (lambda log: undo.unlink()) if undo else None)


def statuses(operation: Operation) -> list[str]:
    return list(operation.steps.values_list("status", flat=True))


def test_every_step_is_recorded(operation: Operation, recorder: Recorder, tmp_path: Path) -> None:
    runner.run_plan((making(tmp_path, "a"), making(tmp_path, "b")), recorder)
    steps = list(operation.steps.all())
    assert [(s.position, s.name, s.status, s.output) for s in steps] == [
        (1, "make a", StepStatus.DONE, "made a\n"),
        (2, "make b", StepStatus.DONE, "made b\n"),
    ]
    assert all(s.started_at is not None and s.seconds is not None and s.seconds >= 0 for s in steps)


def test_progress_is_shown_before_the_steps_are_done(operation: Operation, recorder: Recorder, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    look = Step("look", lambda log: seen.append(statuses(operation)))
    runner.run_plan((making(tmp_path, "a"), look, making(tmp_path, "b")), recorder)
    assert seen == [[StepStatus.DONE, StepStatus.RUNNING, StepStatus.WAITING]]


def test_a_failed_step_and_all_before_it_are_undone(operation: Operation, recorder: Recorder, tmp_path: Path) -> None:
    plan: Plan = (
        making(tmp_path, "a"),
        making(tmp_path, "b"),
        failing(DeployError("the cause"), tmp_path / "half"),
        making(tmp_path, "c"),
    )
    with pytest.raises(runner.StepFailed, match="fail: the cause"):
        runner.run_plan(plan, recorder)
    assert list(tmp_path.iterdir()) == []
    assert statuses(operation) == [StepStatus.UNDONE, StepStatus.UNDONE, StepStatus.FAILED, StepStatus.WAITING]


def test_one_that_cannot_be_undone_does_not_stop_the_rest(
    operation: Operation, recorder: Recorder, tmp_path: Path
) -> None:
    def refuse(log: Log) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    plan: Plan = (making(tmp_path, "a"), Step("stuck", lambda log: None, refuse), failing(DeployError("the cause")))
    with pytest.raises(runner.StepFailed):
        runner.run_plan(plan, recorder)
    assert list(tmp_path.iterdir()) == []
    assert "could not be undone" in operation.steps.get(position=2).output


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError("a defect")])
def test_whatever_a_step_raises_is_the_operations_error(
    error: Exception, operation: Operation, recorder: Recorder, tmp_path: Path
) -> None:
    with pytest.raises(runner.StepFailed) as failed:
        runner.run_plan((making(tmp_path, "a"), failing(error)), recorder)
    assert failed.value.step == "fail"
    assert str(error.args[-1]) in failed.value.reason
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_not_kept(operation: Operation, recorder: Recorder) -> None:
    leaky = Step("leak", lambda log: log("password: s3cret-of-the-superadmin\x00!"))
    with pytest.raises(runner.StepFailed):
        runner.run_plan((leaky, failing(DeployError("s3cret-of-the-superadmin was refused"))), recorder)
    outputs = "".join(operation.steps.values_list("output", flat=True))
    assert "s3cret" not in outputs
    assert f"password: {HIDDEN}!" in outputs
    assert f"{HIDDEN} was refused" in outputs


def test_an_interrupted_plan_is_run_again_from_its_start(
    operation: Operation, recorder: Recorder, tmp_path: Path
) -> None:
    plan: Plan = (making(tmp_path, "a"), making(tmp_path, "b"))
    for _ in range(2):
        runner.run_plan(plan, recorder)
    assert OperationStep.objects.filter(operation=operation).count() == 2


def test_a_worker_that_lost_its_claim_stops_before_the_next_step(
    operation: Operation, recorder: Recorder, tmp_path: Path
) -> None:
    lose = Step("lose", lambda log: recorder.lost.set())
    with pytest.raises(claims.ClaimLost):
        runner.run_plan((lose, making(tmp_path, "a")), recorder)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_being_stopped_gives_the_operation_back(
    operation: Operation, recorder: Recorder, tmp_path: Path
) -> None:
    stop = Step("stop", lambda log: worker.note_shutdown())
    try:
        with pytest.raises(worker.Stopping):
            runner.run_plan((making(tmp_path, "a"), stop, making(tmp_path, "b")), recorder)
    finally:
        worker.resume()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert Operation.objects.get(pk=operation.pk).status == Outcome.RUNNING
