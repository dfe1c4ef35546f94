"""Two workers of one machine never do something to the same thing at the same time, also when one was only held up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from deployers import interruption
from deployers.backups.verifying import scratch_id
from deployers.plan import Log, Plan, Step
from instances import claims, recorder, runner, turns
from instances.choices import OperationKind, Outcome
from instances.models import Operation
from tests.factories import make_backup, make_operation, make_version

pytestmark = pytest.mark.django_db(transaction=True)

THING = "an instance"


@pytest.fixture(autouse=True)
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not beat for a second has lost its operation."""
    settings.LEASE_SECONDS = 1.0
    monkeypatch.setattr(recorder, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(recorder, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.2)


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_has_the_turn_and_another_thing_is_free() -> None:
    with turns.turn(THING):
        with pytest.raises(turns.NotOurTurn), turns.turn(THING):
            pass
        with turns.turn("another instance"):
            pass
    with turns.turn(THING):
        pass


def test_who_waits_gets_it_when_it_is_free() -> None:
    begun, over = threading.Event(), threading.Event()

    def first() -> None:
        with turns.turn(THING):
            begun.set()
            over.wait(120)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(120)
    threading.Timer(0.1, over.set).start()
    with turns.turn(THING, 20):
        assert over.is_set()
    thread.join()


def test_an_operation_works_on_its_instance_its_version_or_what_its_verification_uses() -> None:
    start = make_operation()
    assert turns.thing_of(start) == start.instance_id
    backup = make_backup()
    verification = make_operation(kind=OperationKind.VERIFY, instance=None, backup=backup, version=backup.version)
    assert turns.thing_of(verification) == scratch_id(backup.name)
    preparation = make_operation(kind=OperationKind.PREPARE, version=make_version())
    assert turns.thing_of(preparation) == "version pypi-openslides-3.3"


def test_an_operation_whose_instance_is_busy_is_given_back_and_not_counted() -> None:
    operation = make_operation()
    assert operation.instance_id is not None
    with turns.turn(operation.instance_id):
        runner.run(operation.pk)
    operation.refresh_from_db()
    assert (operation.status, operation.attempts, operation.reached) == (Outcome.QUEUED, 0, 0)


class Worker:
    """A process of its own that runs an operation; its plan is one long step, which notes that it goes on."""

    def __init__(self, operation: Operation, notes: Path, data_dir: Path) -> None:
        self.notes = notes
        connections.close_all()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._work(operation, data_dir)
            finally:
                os._exit(0)

    def _work(self, operation: Operation, data_dir: Path) -> None:
        from django.conf import settings

        settings.DATA_DIR = data_dir

        def do(log: Log) -> None:
            for number in range(100):
                with self.notes.open("a") as stream:
                    stream.write(f"{number}\n")
                interruption.sleep(0.1)

        runner.plan_of = lambda operation, instance: (Step("work", do),)
        runner.run(operation.pk)

    @property
    def count(self) -> int:
        return len(self.notes.read_text().splitlines()) if self.notes.exists() else 0

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def operation() -> Operation:
    return make_operation()


@pytest.fixture
def make_worker(operation: Operation, tmp_path: Path, settings: Settings) -> Iterator[Callable[[Path], Worker]]:
    made: list[Worker] = []

    def make(data_dir: Path) -> Worker:
        worker = Worker(operation, tmp_path / "notes", data_dir)
        made.append(worker)
        wait_until(lambda: worker.count > 2)
        return worker

    yield make
    for worker in made:
        worker.end()


def run(operation: Operation, plan: Plan) -> Operation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: plan)
        runner.run(operation.pk)
    operation.refresh_from_db()
    return operation


def seems_gone(operation: Operation) -> bool:
    operation.refresh_from_db()
    return claims.is_gone(operation)


def test_a_successor_on_the_same_machine_does_nothing_before_a_stopped_worker_has_ended(
    operation: Operation, make_worker: Callable[[Path], Worker], settings: Settings
) -> None:
    worker = make_worker(settings.DATA_DIR)
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: seems_gone(operation))
    done: list[int] = []
    plan: Plan = (Step("work", lambda log: done.append(worker.count)),)
    assert run(operation, plan).status == Outcome.QUEUED
    assert not done
    worker.signal(signal.SIGCONT)
    wait_until(lambda: run(operation, plan).status == Outcome.SUCCEEDED)
    assert len(done) == 1
    time.sleep(0.5)
    assert worker.count == done[0] < 100


def test_a_stopped_worker_whose_operation_another_machine_has_run_ends_its_step_when_it_comes_back(
    operation: Operation, make_worker: Callable[[Path], Worker], tmp_path: Path
) -> None:
    """With a directory of its own it does not see the turns of this machine."""
    (tmp_path / "elsewhere").mkdir()
    worker = make_worker(tmp_path / "elsewhere")
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: seems_gone(operation))
    assert run(operation, (Step("work", lambda log: None),)).status == Outcome.SUCCEEDED
    worker.signal(signal.SIGCONT)
    wait_until(lambda: os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
    assert worker.count < 100
    operation.refresh_from_db()
    assert (operation.status, operation.attempts) == (Outcome.SUCCEEDED, 2)


def lose(operation: Operation) -> None:
    """Another worker takes it."""
    Operation.objects.filter(pk=operation.pk).update(worker="another-boot/pid:[1]/1/1", attempts=2)


@pytest.mark.parametrize("undoing", [False, True])
def test_who_has_lost_its_claim_ends_what_it_does_or_undoes_at_once(undoing: bool, operation: Operation) -> None:
    waited: list[BaseException] = []

    def wait(log: Log) -> None:
        lose(operation)
        try:
            interruption.sleep(60)
        except interruption.Interrupted as ended:
            waited.append(ended)
            raise

    def fail(log: Log) -> None:
        raise OSError("a fault")

    before: list[str] = []
    first = Step("first", lambda log: None, lambda log: before.append("undone"))
    second = Step("second", fail, wait) if undoing else Step("second", wait)
    run(operation, (first, second))
    assert str(waited[0]) == recorder.TAKEN_OVER
    assert not before
    assert (operation.status, operation.error) == (Outcome.RUNNING, "")
