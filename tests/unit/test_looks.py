"""The periodic look: what the host says is written, what is missing is filed, what was left is taken up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from deployers.layout import EmbeddedLayout
from deployers.services.service import Service
from deployers.services.supervisor import Supervisor, write_supervisord_conf
from instances import claims, looks
from instances.choices import Desired, OperationKind, Origin, Outcome, State
from instances.models import Host, Instance, Operation
from tests.factories import make_host, make_instance

pytestmark = pytest.mark.django_db


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """A real supervisord without programs of its own, in the tests' data directory."""
    conf = write_supervisord_conf(settings.DATA_DIR, [])
    process = subprocess.Popen([sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)])
    supervisor = Supervisor(EmbeddedLayout(settings.DATA_DIR))
    try:
        supervisor.wait_until_answering(90)
        yield supervisor
    finally:
        process.terminate()
        process.wait(90)


@pytest.fixture
def run_service(supervisor: Supervisor) -> Iterator[Callable[[Instance], None]]:
    """Runs something that lasts as an instance's service, and takes it away afterwards."""
    known: list[str] = []

    def run(instance: Instance) -> None:
        known.append(instance.pk)
        log = Path(settings.DATA_DIR) / "log" / f"{instance.pk}.log"
        EmbeddedLayout(settings.DATA_DIR).instance(instance.pk).log.parent.mkdir(parents=True)
        supervisor.register(Service(instance.pk, ("/usr/bin/sleep", "1000"), {}, log))
        supervisor.start(instance.pk)

    yield run
    for instance_id in known:
        supervisor.remove(instance_id)


def installed(host: Host, **values: object) -> Instance:
    return make_instance(**{"host": host, "installed_at": timezone.now(), "observed_state": State.ACTIVE, **values})


def state_of(instance: Instance) -> State:
    return State(Instance.objects.get(pk=instance.pk).observed_state)


@pytest.mark.usefixtures("supervisor")
def test_a_host_that_answers_was_seen() -> None:
    host = make_host(last_seen=None)
    looks.look_after(host)
    host.refresh_from_db()
    assert host.is_heard


def test_a_host_that_does_not_answer_was_not_seen_and_its_rows_stay() -> None:
    host = make_host(last_seen=None)
    instance = installed(host)
    looks.look_after(host)
    host.refresh_from_db()
    assert not host.is_heard
    assert state_of(instance) == State.ACTIVE
    assert not Operation.objects.exists()


def test_what_runs_is_active(run_service: Callable[[Instance], None]) -> None:
    instance = installed(make_host(), observed_state=State.STARTING)
    run_service(instance)
    looks.look_after(instance.host)
    assert state_of(instance) in (State.STARTING, State.ACTIVE)
    assert not Operation.objects.exists()


def test_a_process_in_its_first_second_is_no_step_back_from_active(run_service: Callable[[Instance], None]) -> None:
    instance = installed(make_host())
    run_service(instance)
    looks.look_after(instance.host)
    assert state_of(instance) == State.ACTIVE


@pytest.mark.usefixtures("supervisor")
def test_what_shall_run_and_does_not_is_started() -> None:
    instance = installed(make_host())
    looks.look_after(instance.host)
    operation = Operation.objects.get()
    assert (operation.kind, operation.instance, operation.requested_via) == (
        OperationKind.START,
        instance,
        Origin.SYSTEM,
    )
    assert state_of(instance) == State.STARTING


def test_what_shall_not_run_and_does_is_stopped(run_service: Callable[[Instance], None]) -> None:
    instance = installed(make_host(), desired_state=Desired.STOPPED)
    run_service(instance)
    looks.look_after(instance.host)
    assert Operation.objects.get().kind == OperationKind.STOP


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize(
    "values",
    [
        {"failure": OperationKind.START},
        {"desired_state": Desired.STOPPED},
        {"installed_at": None, "failure": OperationKind.CREATE},
        {"removed_at": timezone.now()},
    ],
)
def test_what_failed_or_is_as_wanted_is_left_alone(values: dict[str, object]) -> None:
    instance = installed(make_host(), **values)
    looks.look_after(instance.host)
    assert not Operation.objects.exists()


@pytest.mark.usefixtures("supervisor")
def test_a_busy_instance_is_left_to_its_operation() -> None:
    instance = installed(make_host())
    Operation.objects.create(kind=OperationKind.STOP, instance=instance, host=instance.host)
    looks.look_after(instance.host)
    assert Operation.objects.count() == 1


@pytest.mark.usefixtures("supervisor")
def test_the_look_costs_the_same_for_three_and_for_thirty(django_assert_num_queries: Callable[..., object]) -> None:
    host = make_host()
    for more in (3, 27):
        for _ in range(more):
            installed(host, desired_state=Desired.STOPPED, observed_state=State.STOPPED)
        # Otherwise it is written now and then that the host was seen.
        host.last_seen = timezone.now()
        with django_assert_num_queries(6):  # type: ignore[attr-defined]
            looks.look_after(host)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seconds", "sent"), [(-60, 1), (-1, 0), (1, 0), (3600, 1)])
def test_an_operation_whose_message_was_lost_is_sent_again(seconds: int, sent: int) -> None:
    """Also one that was asked for in a time to come: the clock was set back since. Not one of just now."""
    instance = installed(make_host())
    asked = timezone.now() + timedelta(seconds=seconds)
    Operation.objects.create(kind=OperationKind.STOP, instance=instance, host=instance.host, created_at=asked)
    before = len(list(settings.BROKER_FOLDER.glob("*.msg")))
    looks.take_up(instance.host)
    assert len(list(settings.BROKER_FOLDER.glob("*.msg"))) == before + sent


@pytest.mark.django_db(transaction=True)
def test_an_operation_whose_worker_is_gone_is_sent_again() -> None:
    instance = installed(make_host())
    machine = claims.own_name().partition("]/")[0]
    Operation.objects.create(
        kind=OperationKind.STOP,
        instance=instance,
        host=instance.host,
        status=Outcome.RUNNING,
        worker=f"{machine}]/1/0",
        heartbeat_at=timezone.now(),
    )
    before = len(list(settings.BROKER_FOLDER.glob("*.msg")))
    looks.take_up(instance.host)
    assert len(list(settings.BROKER_FOLDER.glob("*.msg"))) == before + 1
