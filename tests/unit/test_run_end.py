"""The end of an operation: its worker is heard of until the outcome is written, and what is in use is not undone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive, ArchiveFacts
from deployers.plan import Plan, Step
from instances import claims, operations, outcomes, recorder, runner
from instances.choices import Outcome
from instances.models import Operation
from instances.operations import SYSTEM
from tests.factories import make_installed, make_operation, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LEASE_SECONDS = 2.0
    monkeypatch.setattr(recorder, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(recorder, "FLUSH_SECONDS", 0.1)


@dataclass(frozen=True, slots=True)
class SlowStore(FolderStore):
    """One that is far away: it thinks for longer than the lease, and is looked at meanwhile."""

    operation: Operation | None = None
    taken_up: list[object] = field(default_factory=list)

    def facts(self, name: str) -> ArchiveFacts | None:
        assert self.operation is not None
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            time.sleep(0.25)
            self.taken_up.extend(claims.interrupted(self.operation.host_id))
            self.taken_up.append(claims.take(self.operation.pk))
        return FolderStore.facts(self, name)


def run(operation: Operation, plan: Plan) -> Operation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "plan_of", lambda operation, instance: plan)
        runner.run(operation.pk)
    operation.refresh_from_db()
    return operation


def test_a_worker_that_waits_for_the_backup_store_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = operations.update(make_installed(), make_version(image="pypi:openslides==3.4"), SYSTEM)
    store = SlowStore(tmp_path / "backups", operation=operation)
    monkeypatch.setattr(outcomes, "archive_of", lambda backup: Archive(store, backup.name))
    assert run(operation, (Step("update", lambda log: None),)).status == Outcome.SUCCEEDED
    assert store.taken_up
    assert not any(store.taken_up)
    assert operation.attempts == 1


def begun(plan: Plan, reached: int, *, is_final: bool = False) -> Operation:
    """An operation with which as many workers died as may, the last of them in step number ``reached``."""
    operation = make_operation(attempts=claims.ATTEMPTS, reached=reached, is_final=is_final)
    return run(operation, plan)


@pytest.mark.parametrize(
    ("reached", "is_final", "outcome"),
    [(1, False, Outcome.FAILED), (2, False, Outcome.SUCCEEDED), (1, True, Outcome.SUCCEEDED)],
)
def test_what_was_interrupted_too_often_is_undone_only_as_long_as_nobody_uses_it(
    reached: int, is_final: bool, outcome: Outcome, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.write_text("new")
    switch = Step("switch", lambda log: None, lambda log: void(data.write_text("old")))
    operation = begun((switch, Step("check its health", lambda log: None)), reached, is_final=is_final)
    assert operation.status == outcome
    assert data.read_text() == ("old" if outcome == Outcome.FAILED else "new")


def void(value: object) -> None:
    """For a lambda that shall return nothing."""
