"""Filing an operation: what is written, what is sent, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from instances import operations
from instances.choices import Desired, Engine, OperationKind, Origin, Outcome, Preparation, State
from instances.errors import (
    AlreadyInstalled,
    InstanceRemoved,
    NoHost,
    NotInstalled,
    OperationRefused,
    OperationRunning,
    Unsupported,
    VersionRefused,
)
from instances.models import Instance, Operation, Version
from instances.operations import Request
from instances.operations.versions import preparation
from tests.factories import make_domain, make_host, make_instance, make_version

pytestmark = pytest.mark.django_db

REQUEST = Request(via=Origin.COMMAND)


def new_instance(**values: object) -> Instance:
    """One that is not saved yet."""
    version = values.pop("version", None) or make_version(preparation=Preparation.PREPARED)
    return Instance(**{"slug": "new", "domain": make_domain(), "version": version, **values})


def installed(**values: object) -> Instance:
    return make_instance(**{"installed_at": timezone.now(), "observed_state": State.ACTIVE, **values})


def messages() -> list[Path]:
    return list(settings.BROKER_FOLDER.glob("*.msg"))


def test_creating_saves_the_instance_and_files_the_operation() -> None:
    host = make_host()
    operation = operations.create(new_instance(), REQUEST)
    instance = Instance.objects.get(slug="new")
    assert (operation.kind, operation.status, operation.instance) == (OperationKind.CREATE, Outcome.QUEUED, instance)
    assert operation.requested_via == Origin.COMMAND
    assert (instance.host, instance.desired_state, instance.observed_state) == (host, Desired.ACTIVE, State.INSTALLING)


@pytest.mark.django_db(transaction=True)
def test_the_task_is_sent_after_the_commit() -> None:
    make_host()
    before = len(messages())
    operations.create(new_instance(), REQUEST)
    assert len(messages()) == before + 1


def test_an_unprepared_version_is_prepared_first() -> None:
    make_host()
    version = make_version(preparation=Preparation.NONE)
    operation = operations.create(new_instance(version=version), REQUEST)
    assert operation.waits_for is not None
    assert (operation.waits_for.kind, operation.waits_for.version) == (OperationKind.PREPARE, version)
    version.refresh_from_db()
    assert version.preparation == Preparation.PREPARING


def test_two_instances_wait_for_the_same_preparation() -> None:
    make_host()
    version = make_version(preparation=Preparation.NONE)
    one = operations.create(new_instance(version=version, slug="one"), REQUEST)
    two = operations.create(new_instance(version=version, slug="two"), REQUEST)
    assert one.waits_for == two.waits_for


def end(operation: Operation) -> None:
    """As its worker would."""
    Operation.objects.filter(pk=operation.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    Version.objects.filter(pk=operation.version_id).update(preparation=Preparation.PREPARED)


def test_a_version_is_prepared_on_each_host_that_uses_it() -> None:
    one, other = make_host(), make_host()
    version = make_version(preparation=Preparation.NONE)
    end(operations.prepare(version, REQUEST, one))
    assert preparation(version, one, REQUEST) is None
    missing = preparation(version, other, REQUEST)
    assert missing is not None
    assert (missing.host, missing.kind) == (other, OperationKind.PREPARE)
    version.refresh_from_db()
    assert version.preparation == Preparation.PREPARED
    end(missing)
    assert preparation(version, other, REQUEST) is None


def test_what_was_discarded_or_has_another_image_now_is_prepared_again() -> None:
    one, other = make_host(), make_host()
    version = make_version(preparation=Preparation.NONE)
    for host in (one, other):
        end(operations.prepare(version, REQUEST, host))
    before = copy(version)
    for image in ("pypi:openslides==3.2", before.image):
        Version.objects.filter(pk=version.pk).update(image=image, preparation=Preparation.NONE)
        operations.discard(before)
        version.refresh_from_db()
        before = copy(version)
        end(operations.prepare(version, REQUEST, one))
        assert preparation(version, one, REQUEST) is None
        missing = preparation(version, other, REQUEST)
        assert missing is not None
        operations.cancel(missing, REQUEST)


def test_no_host_means_no_instance() -> None:
    with pytest.raises(NoHost):
        operations.create(new_instance(), REQUEST)
    assert not Instance.objects.exists()


def test_a_full_host_gets_no_more() -> None:
    host = make_host(capacity=1)
    make_instance(host=host)
    with pytest.raises(NoHost):
        operations.create(new_instance(), REQUEST)


def test_the_host_with_the_most_room_is_chosen() -> None:
    make_host(capacity=5)
    roomy = make_host(capacity=50)
    assert operations.create(new_instance(), REQUEST).host == roomy


def test_removed_instances_take_no_room() -> None:
    host = make_host(capacity=1)
    make_instance(host=host, removed_at=timezone.now())
    assert operations.create(new_instance(), REQUEST).host == host


def test_a_slug_that_was_taken_in_this_moment_is_a_validation_error() -> None:
    make_host()
    domain = make_domain()
    make_instance(slug="new", domain=domain)
    with pytest.raises(ValidationError):
        operations.create(new_instance(domain=domain), REQUEST)
    assert Instance.objects.filter(slug="new").count() == 1
    assert not Operation.objects.exists()


def test_a_disabled_version_is_refused() -> None:
    make_host()
    with pytest.raises(VersionRefused, match="not enabled"):
        operations.create(new_instance(version=make_version(enabled=False)), REQUEST)
    assert not Instance.objects.exists()


@pytest.mark.parametrize("values", [{"db": "postgresql"}, {"engine": Engine.PODMAN}])
def test_what_the_embedded_host_does_not_have_is_refused_at_its_field(values: dict[str, str]) -> None:
    make_host()
    if "engine" in values:
        values = {"version": make_version(engine=values["engine"], image="localhost/os:3.3")}  # type: ignore[dict-item]
    with pytest.raises(Unsupported) as refused:
        operations.create(new_instance(**values), REQUEST)
    assert refused.value.field == next(iter(values))
    assert not Instance.objects.exists()


def test_an_installed_instance_is_not_created_again() -> None:
    with pytest.raises(AlreadyInstalled):
        operations.create(installed(), REQUEST)


def test_a_failed_creation_can_be_tried_again() -> None:
    instance = make_instance(failure=OperationKind.CREATE, observed_state=State.INSTALLING_FAILED)
    operation = operations.create(instance, REQUEST)
    assert operation.instance == instance
    instance.refresh_from_db()
    assert instance.observed_state == State.INSTALLING


@pytest.mark.parametrize(
    ("ask", "desired", "state"),
    [
        (operations.start, Desired.ACTIVE, State.STARTING),
        (operations.stop, Desired.STOPPED, State.ACTIVE),
        (operations.remove, Desired.REMOVED, State.REMOVING),
    ],
)
def test_what_is_wanted_is_written_with_the_operation(
    ask: Callable[[Instance, Request], Operation], desired: Desired, state: State
) -> None:
    instance = installed()
    ask(instance, REQUEST)
    instance.refresh_from_db()
    assert (instance.desired_state, instance.observed_state) == (desired, state)


@pytest.mark.parametrize("ask", [operations.start, operations.stop, operations.remove])
def test_a_busy_instance_refuses_and_names_what_runs(ask: Callable[[Instance, Request], Operation]) -> None:
    instance = installed()
    running = operations.stop(instance, REQUEST)
    with pytest.raises(OperationRunning) as refused:
        ask(instance, REQUEST)
    assert refused.value.running == running
    assert str(running.pk) in str(refused.value)
    assert Operation.objects.count() == 1
    instance.refresh_from_db()
    assert instance.desired_state == Desired.STOPPED


@pytest.mark.parametrize("ask", [operations.start, operations.stop])
def test_what_is_not_installed_cannot_be_started_or_stopped(ask: Callable[[Instance, Request], Operation]) -> None:
    with pytest.raises(NotInstalled):
        ask(make_instance(), REQUEST)


@pytest.mark.parametrize("ask", [operations.start, operations.stop, operations.remove, operations.create])
def test_nothing_is_done_to_a_removed_instance(ask: Callable[[Instance, Request], Operation]) -> None:
    with pytest.raises((InstanceRemoved, AlreadyInstalled)):
        ask(installed(removed_at=timezone.now()), REQUEST)


def test_an_instance_that_was_never_installed_can_be_removed() -> None:
    assert operations.remove(make_instance(), REQUEST).kind == OperationKind.REMOVE


def test_an_update_names_its_target() -> None:
    instance = installed(version=make_version(name="3.2"))
    target = make_version(name="3.3", preparation=Preparation.PREPARED)
    operation = operations.update(instance, target, REQUEST)
    assert (operation.version, operation.waits_for) == (target, None)
    instance.refresh_from_db()
    assert (instance.version.name, instance.observed_state) == ("3.2", State.UPDATING)


@pytest.mark.parametrize("target", [{"name": "3.1"}, {"name": "3.4", "enabled": False}])
def test_an_update_backwards_or_to_a_disabled_version_is_refused(target: dict[str, object]) -> None:
    instance = installed(version=make_version(name="3.3"))
    with pytest.raises(VersionRefused):
        operations.update(instance, make_version(**target), REQUEST)


def test_an_update_to_the_same_version_is_refused() -> None:
    instance = installed()
    with pytest.raises(VersionRefused, match="already"):
        operations.update(instance, instance.version, REQUEST)


def test_a_version_that_is_being_prepared_is_not_prepared_twice() -> None:
    version, host = make_version(), make_host()
    running = operations.prepare(version, REQUEST)
    with pytest.raises(OperationRunning) as refused:
        operations.prepare(version, REQUEST)
    assert refused.value.running == running
    assert running.host == host


def test_preparing_again_leaves_a_prepared_version_usable() -> None:
    make_host()
    version = make_version(preparation=Preparation.PREPARED)
    operations.prepare(version, REQUEST)
    version.refresh_from_db()
    assert version.preparation == Preparation.PREPARED


@pytest.mark.django_db(transaction=True)
def test_of_racing_operators_exactly_one_wins() -> None:
    instance = installed()
    outcomes: list[object] = []
    gate = threading.Barrier(8)

    def ask(number: int) -> None:
        try:
            mine = Instance.objects.get(pk=instance.pk)
            gate.wait()
            outcomes.append((operations.stop if number % 2 else operations.remove)(mine, REQUEST))
        except OperationRefused as refused:
            outcomes.append(refused)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Operation) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, OperationRunning) for outcome in outcomes) == 7
    instance.refresh_from_db()
    winner = Operation.objects.get()
    assert instance.desired_state == (Desired.STOPPED if winner.kind == OperationKind.STOP else Desired.REMOVED)
