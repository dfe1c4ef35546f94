"""What becomes of an operation as a whole when it is run."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from deployers.errors import DeployError
from deployers.plan import Log, Plan, Step
from instances import claims, runner
from instances.choices import OperationKind, Outcome, Preparation, State
from instances.models import Instance, Operation
from tests.factories import make_instance, make_version

pytestmark = pytest.mark.django_db(transaction=True)


def raising(error: Exception) -> Plan:
    def do(log: Log) -> None:
        raise error

    return (Step("the only step", do),)


def run_with(monkeypatch: pytest.MonkeyPatch, plan: Plan, operation: Operation) -> Operation:
    """Run the operation with this plan instead of its own."""
    monkeypatch.setattr(runner, "plan_of", lambda operation, instance: plan)
    runner.run(operation.pk)
    operation.refresh_from_db()
    return operation


def creation(**values: object) -> Operation:
    instance = make_instance(**values)
    return Operation.objects.create(kind=OperationKind.CREATE, instance=instance, host=instance.host)


def test_a_failure_is_written_with_its_step_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = run_with(monkeypatch, raising(DeployError("No space left on device")), creation())
    assert (operation.status, operation.failed_step) == (Outcome.FAILED, "the only step")
    assert operation.error == "No space left on device"
    instance = Instance.objects.get()
    assert (instance.failure, instance.installed_at) == (OperationKind.CREATE, None)


def test_when_the_database_fails_the_operation_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_the_rows(log: Log) -> None:
        Operation.objects.get().steps.all().delete()  # the record of the step can then not be written: DatabaseError

    operation = run_with(monkeypatch, (Step("lose", lose_the_rows),), creation())
    assert (operation.status, operation.worker, operation.attempts) == (Outcome.QUEUED, "", 1)
    operation = run_with(monkeypatch, (Step("works now", lambda log: None),), operation)
    assert operation.status == Outcome.SUCCEEDED


def test_an_operation_that_is_interrupted_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = creation()
    Operation.objects.filter(pk=operation.pk).update(attempts=claims.ATTEMPTS)
    operation = run_with(monkeypatch, (Step("never reached", lambda log: None),), operation)
    assert operation.status == Outcome.FAILED
    assert "interrupted" in operation.error


def test_a_failed_preparation_fails_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_version(preparation=Preparation.PREPARING)
    waiting = creation(version=version)
    preparation = Operation.objects.create(kind=OperationKind.PREPARE, version=version, host=waiting.host)
    Operation.objects.filter(pk=waiting.pk).update(waits_for=preparation)
    run_with(monkeypatch, raising(DeployError("PyPI does not answer")), preparation)
    waiting.refresh_from_db()
    version.refresh_from_db()
    assert (waiting.status, version.preparation) == (Outcome.FAILED, Preparation.FAILED)
    assert "PyPI does not answer" in waiting.error
    assert Instance.objects.get().observed_state == State.INSTALLING_FAILED


def test_a_lost_encryption_key_fails_the_operation_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    operation = creation()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    operation = run_with(monkeypatch, (), operation)
    assert operation.status == Outcome.FAILED
    assert "Put the key back" in operation.error
