"""Whatever is asked, fails, dies, comes twice or never, in whatever order: the rows stay consistent and converge.

Hypothesis makes sequences of requests and faults, and shortens those that break a rule. CHAOS_EXAMPLES=1000 makes it
search longer. Below are sequences that are as short as can be: in the first three a rule was broken by a defect that
was mended.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from deployers.states import UnitState
from instances import backups, claims, deployment, healing, looks, messages, operations, runner, turns
from instances.choices import LOCKABLE, Desired, OperationKind, Origin, Outcome, Preparation, State
from instances.errors import OperationRefused
from instances.models import (
    ActionLock,
    Backup,
    Domain,
    Host,
    Instance,
    Operation,
    OperationStep,
    Orphan,
    StateChange,
    Version,
)
from instances.operations import Request
from instances.planning import archive_of
from tests.factories import make_domain, make_host, make_version
from tests.unit.pretended_host import PretendedHost
from tests.unit.pretended_workers import Broker, Clocks, Fault, Killed, Sabotage, Trouble, Workers, lost_database

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "40"))
STEPS = 40
OLD, NEW = "3.2", "3.3"
INSTANCE_KINDS = ("create", "start", "stop", "update", "remove", "backup", "restore", "purge", "clone",
                  "bring_back", "mail")  # fmt: skip
KINDS = (*INSTANCE_KINDS, "verify", "prepare")
PASSING = (State.INSTALLING, State.STARTING, State.UPDATING, State.REMOVING)
SETTLED = {UnitState.STARTING: UnitState.RUNNING, UnitState.STOPPING: UnitState.STOPPED}
WELL = {Desired.ACTIVE: (State.ACTIVE, State.SLEEPING), Desired.STOPPED: (State.STOPPED, State.UPDATE_FAILED)}
ROUNDS_TO_CONVERGE = 60

faults = st.none() | st.builds(Fault, st.sampled_from(Trouble), st.integers(0, 6))
numbers = st.integers(0, 3)
kinds = st.sampled_from(KINDS)


class Control(RuleBasedStateMachine):
    """A control plane with one host, its operators, its workers, and all that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        for model in (ActionLock, Orphan, Operation, Backup, StateChange, Instance, Version, Domain, Host):
            model.objects.all().delete()
        self.host, self.clocks, self.broker, self.workers = PretendedHost(), Clocks(), Broker(), Workers()
        self.fault: Fault | None = None
        self.asked: tuple[str, int] = ("start", 0)
        self.database_fails = False
        self.counter = itertools.count(1)
        self.written: dict[str, set[int]] = {}
        """What users were told is stored, by instance."""
        self.patches = pytest.MonkeyPatch()
        self.patch()
        self.row = make_host(name="localhost")
        self.domain = make_domain()
        self.versions = [
            make_version(name=name, image=f"pypi:openslides=={name}", preparation=preparation)
            for name, preparation in ((OLD, Preparation.PREPARED), (NEW, Preparation.NONE))
        ]
        self.host.prepared.add(OLD)

    def patch(self) -> None:
        put = self.patches.setattr
        self.place = tempfile.TemporaryDirectory(prefix="mi-")
        put(settings, "BACKUP_DIR", Path(self.place.name) / "backups")
        put(timezone, "now", self.clocks.now)
        put(claims, "_boot_seconds", lambda: self.clocks.boot)
        put(claims, "own_name", self.workers.own_name)
        put(claims, "_start_time", self.workers.start_time)
        put(messages, "current_app", self.broker)
        # Its workers seem to be of one machine and are all this process: as if they were of several.
        put(turns, "turn", lambda thing, wait: nullcontext())
        put(deployment, "embedded_deployer", lambda settings: self.host)
        deployment.deployer_for.cache_clear()
        plan_of, advance, end = runner.plan_of, claims.advance, runner._end

        def spoiled_plan(operation: Operation, instance: Instance | None) -> Any:
            plan = plan_of(operation, instance)
            fault, self.fault = self.fault, None
            return self.sabotage(fault, operation).spoil(plan) if fault is not None else plan

        def fragile_advance(*arguments: Any, **options: Any) -> None:
            if self.database_fails:
                self.database_fails = False
                raise lost_database()
            advance(*arguments, **options)

        def deadly_end(*arguments: Any) -> str:
            if self.dies_at_the_end:
                self.dies_at_the_end = False
                raise Killed
            return end(*arguments)

        self.dies_at_the_end = False
        put(runner, "plan_of", spoiled_plan)
        put(claims, "advance", fragile_advance)
        put(runner, "_end", deadly_end)
        self.take_back_clock = self.clocks.rule([Operation, Backup, Instance, ActionLock, StateChange, Host])

    def sabotage(self, fault: Fault, operation: Operation) -> Sabotage:
        self.dies_at_the_end = fault.trouble is Trouble.DIES_AT_THE_END
        return Sabotage(
            fault,
            operation,
            cancel=lambda: self.cancel_row(operation),
            take_over=lambda: self.take_over(operation),
            look=self.look_quietly,
            ask=lambda: self.ask(*self.asked, late=False),
            lose_database=lambda: setattr(self, "database_fails", True),
        )

    # What people do.

    @initialize(count=st.integers(1, 3))
    def some_instances(self, count: int) -> None:
        for _ in range(count):
            self.ask("create", 0, late=False)
            self.deliver(0, None)

    @rule(kind=kinds, which=numbers, late=st.booleans())
    def somebody_asks(self, kind: str, which: int, late: bool) -> None:
        self.ask(kind, which, late=late)

    def ask(self, kind: str, which: int, *, late: bool) -> None:
        """Refused or filed, and nothing else."""
        not_before = timezone.now() + timedelta(hours=1) if late else None
        request = Request(Origin.API, None, not_before)
        try:
            self.file(kind, which, request)
        except (OperationRefused, ValidationError):
            return

    def file(self, kind: str, which: int, request: Request) -> None:
        rows = list(Instance.objects.select_related("host", "version", "domain").order_by("created_at", "pk"))
        row = rows[which % len(rows)] if rows else None
        made = list(Backup.objects.select_related("version", "host").order_by("pk"))
        backup = made[which % len(made)] if made else None
        if kind == "create":
            if row is not None and which % 2 and not row.is_installed:
                operations.create(row, request)
            else:
                operations.create(self.new_row(), Request(request.via))
        elif kind == "prepare":
            operations.prepare(self.versions[which % 2], request)
        elif kind in ("restore", "verify"):
            if backup is not None:
                getattr(operations, kind)(backup, request)
        elif row is None:
            return
        elif kind == "clone":
            operations.clone(row, self.new_row(), Request(request.via))
        elif kind == "update":
            operations.update(row, self.versions[1], request)
        elif kind == "mail":
            operations.send_test_mail(row, "somebody@example.org", request)
        else:
            getattr(operations, kind)(row, request)

    def new_row(self) -> Instance:
        return Instance(slug=f"a{next(self.counter)}", domain=self.domain, version=self.versions[0])

    @rule(which=numbers)
    def somebody_cancels(self, which: int) -> None:
        rows = list(Operation.objects.filter(finished_at=None).order_by("pk"))
        if rows:
            self.cancel_row(rows[which % len(rows)])

    def cancel_row(self, operation: Operation) -> None:
        try:
            operations.cancel(Operation.objects.get(pk=operation.pk), Request(Origin.API))
        except OperationRefused:
            return

    @rule(which=numbers, action=st.sampled_from(LOCKABLE), locked=st.booleans())
    def somebody_locks(self, which: int, action: OperationKind, locked: bool) -> None:
        rows = list(Instance.objects.order_by("created_at", "pk"))
        if not rows:
            return
        lock = {"instance": rows[which % len(rows)], "action": action}
        if locked:
            ActionLock.objects.get_or_create(**lock, defaults={"reason": "assembly"})
        else:
            ActionLock.objects.filter(**lock).delete()

    @rule(which=numbers)
    def somebody_uses_it(self, which: int) -> None:
        rows = list(Instance.objects.present().order_by("created_at", "pk"))
        if not rows:
            return
        row, number = rows[which % len(rows)], next(self.counter)
        begun = Operation.objects.unfinished().filter(instance=row, attempts__gt=0)
        in_doubt = begun.filter(kind__in=[OperationKind.UPDATE, OperationKind.RESTORE, OperationKind.CREATE]).exists()
        if self.host.write(row.pk, number) and not in_doubt:
            self.written.setdefault(row.pk, set()).add(number)

    # What workers and the broker do.

    @rule(which=st.integers(0, 5), fault=faults, asked=st.tuples(kinds, numbers))
    def a_message_arrives(self, which: int, fault: Fault | None, asked: tuple[str, int]) -> None:
        self.asked = asked
        self.deliver(which, fault)

    @rule(which=st.integers(0, 5))
    def a_message_comes_twice(self, which: int) -> None:
        if self.broker.messages:
            self.broker.messages.append(self.broker.messages[which % len(self.broker.messages)])

    @rule()
    def all_messages_are_lost(self) -> None:
        self.broker.messages.clear()

    @rule()
    def the_host_is_looked_at(self) -> None:
        self.look()

    @rule()
    def backups_are_looked_after(self) -> None:
        backups.look_after(timezone.now())

    def deliver(self, which: int, fault: Fault | None) -> None:
        if not self.broker.messages:
            return
        task, arguments = self.broker.messages.pop(which % len(self.broker.messages))
        if task != messages.RUN_OPERATION:
            return
        self.fault = fault
        before = {row.pk: set(self.written.get(row.pk, ())) for row in Instance.objects.all()}
        self.workers.work(lambda: runner.run(arguments[0]))
        self.fault, self.database_fails, self.dies_at_the_end = None, False, False
        self.note_restore(arguments[0], before)

    def note_restore(self, number: int, before: dict[str, set[int]]) -> None:
        """After a restore the backup's data count; what there was before is in the safety backup."""
        operation = Operation.objects.select_related("safety_backup").get(pk=number)
        if operation.status != Outcome.SUCCEEDED or operation.instance_id is None:
            return
        own = operation.instance_id
        if operation.kind == OperationKind.RESTORE:
            assert operation.safety_backup is not None
            assert operation.safety_backup.is_complete
            safe = self.host.read(archive_of(operation.safety_backup)).written
            assert before.get(own, set()) <= safe, f"{operation} lost what its safety backup should hold"
            self.written[own] = set(self.host.data[own].written)
        elif operation.kind == OperationKind.CREATE:
            self.written[own] = set(self.host.data[own].written) | self.written.get(own, set()) & set(
                self.host.data[own].written
            )

    def take_over(self, operation: Operation) -> None:
        """The worker is away for so long that another one runs the operation to its end."""
        self.clocks.pass_by(31)
        self.workers.work(lambda: runner.run(operation.pk))

    # What hosts and clocks do.

    def look(self) -> None:
        looks.look_after(Host.objects.get())

    def look_quietly(self) -> None:
        before = list(Operation.objects.unfinished().values_list("pk", flat=True))
        self.look()
        assert set(before) <= set(Operation.objects.values_list("pk", flat=True))

    @rule(seconds=st.sampled_from([1, 31, 120, 700, 3700, 3 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.clocks.pass_by(seconds)

    @rule(hours=st.sampled_from([-1, 1]))
    def the_clock_is_set(self, hours: int) -> None:
        self.clocks.wall += timedelta(hours=hours)

    @rule(which=numbers, unit=st.sampled_from(UnitState))
    def a_service_changes_by_itself(self, which: int, unit: UnitState) -> None:
        known = sorted(self.host.units)
        if known:
            self.host.units[known[which % len(known)]] = unit

    @rule()
    def the_host_is_rebooted(self) -> None:
        self.host.units.clear()

    @rule(reachable=st.booleans())
    def the_host_is_silent_or_not(self, reachable: bool) -> None:
        self.host.reachable = reachable

    # What must hold, whatever happens.

    @invariant()
    def no_two_operations_at_once(self) -> None:
        found = Operation.objects.unfinished().exclude(instance=None).order_by().values("instance")
        assert not found.annotate(number=Count("pk")).filter(number__gt=1).exists()

    @invariant()
    def whatever_is_unfinished_can_go_on(self) -> None:
        for operation in Operation.objects.unfinished().select_related("waits_for"):
            if operation.status == Outcome.RUNNING:
                assert claims.is_gone(operation), f"{operation} is held by a worker that is no more"
            elif operation.waits_for is not None and not operation.waits_for.is_finished:
                assert operation.waits_for.status in (Outcome.QUEUED, Outcome.RUNNING)

    @invariant()
    def the_history_of_states_is_true(self) -> None:
        for row in Instance.objects.all():
            changes = list(row.state_changes.order_by("pk").values_list("state", "wanted"))
            assert not changes or changes[-1] == (row.observed_state, row.desired_state)
            assert all(one != other for one, other in itertools.pairwise(changes))

    @invariant()
    def no_secret_is_shown(self) -> None:
        shown = "".join(OperationStep.objects.values_list("output", flat=True))
        shown += "".join(Operation.objects.values_list("error", flat=True))
        for row in Instance.objects.select_related("domain", "version"):
            assert not [secret for secret in row.spec().secrets if secret in shown]

    @invariant()
    def complete_backups_are_there(self) -> None:
        for backup in Backup.objects.complete():
            facts = archive_of(backup).store.facts(backup.name)
            assert facts is not None, f"{backup.name} is not there"
            assert (facts.size, facts.sha256) == (backup.size, backup.sha256)

    # What must come of it in the end.

    def teardown(self) -> None:
        try:
            self.converge()
        finally:
            self.patches.undo()
            self.place.cleanup()
            self.take_back_clock()
            deployment.deployer_for.cache_clear()

    def converge(self) -> None:
        """The faults stop; nobody does anything but the product itself."""
        self.host.reachable = True
        ActionLock.objects.all().delete()
        for number, unit in self.host.units.items():
            # Nothing is on its way for ever.
            self.host.units[number] = SETTLED.get(unit, unit)
        self.let_time_pass()
        self.try_again()
        self.let_time_pass()
        assert not Instance.objects.present().exclude(attention="").exists()
        self.whatever_is_unfinished_can_go_on()
        self.check_data()

    def let_time_pass(self) -> None:
        for _ in range(ROUNDS_TO_CONVERGE):
            self.clocks.pass_by(300)
            self.look()
            backups.look_after(timezone.now())
            while self.broker.messages:
                self.deliver(0, None)
            if not self.not_converged():
                break
        assert not self.not_converged()

    def not_converged(self) -> list[str]:
        wrong = [f"{operation} is {operation.status}" for operation in Operation.objects.filter(finished_at=None)]
        wrong += [f"archive {name} is on nobody's list" for name in self.strangers()]
        wrong += [f"{backup.name} is incomplete" for backup in Backup.objects.filter(completed_at=None)]
        wrong += [f"{name} is left of a verification" for name in self.host.scratch]
        known = set()
        for row in Instance.objects.present():
            if not row.is_installed and row.desired_state != Desired.REMOVED:
                if row.observed_state not in (State.NEW, State.INSTALLING_FAILED):
                    wrong.append(f"{row.slug} is not installed and {row.observed_state}")
                continue
            known.add(row.pk)
            if row.attention:
                wrong += self.wrong_with(row)
                continue
            if row.desired_state == Desired.REMOVED or row.observed_state not in WELL[Desired(row.desired_state)]:
                wrong.append(f"{row.slug} is {row.observed_state} and shall be {row.desired_state}")
        wrong += [f"{orphan.name} is on the host" for orphan in self.host.orphans(known)]
        return wrong

    def wrong_with(self, row: Instance) -> list[str]:
        """Of one that needs attention: it says why, and the system's tries were really in vain."""
        found = [] if row.attention.strip() else [f"{row.slug} needs attention and does not say why"]
        if row.retries < len(healing.DELAYS):
            found.append(f"{row.slug} needs attention after {row.retries} tries")
        return found

    def try_again(self) -> None:
        """What needs attention comes back when somebody tries again and nothing is in the way any more."""
        for row in Instance.objects.present().exclude(attention="").select_related("host", "version", "domain"):
            operations.try_again(row, Request(Origin.API))

    def strangers(self) -> set[str]:
        from instances.archives import store

        return set(store().names()) - set(Backup.objects.values_list("name", flat=True))

    def check_data(self) -> None:
        for row in Instance.objects.select_related("version"):
            expected = self.written.get(row.pk, set())
            if row.removed_at is None:
                if row.is_installed and row.desired_state != Desired.REMOVED:
                    data = self.host.data[row.pk]
                    assert data.version == row.version.name
                    assert expected <= data.written, f"{row.slug} lost {expected - data.written}"
                continue
            if expected and not row.operations.filter(kind=OperationKind.PURGE).exists():
                kept = [self.host.read(archive_of(backup)).written for backup in row.backups.complete()]
                assert any(expected <= written for written in kept), f"{row.slug} was removed with its data"


@pytest.fixture(autouse=True)
def quick_disk(transactional_db: None) -> None:
    """What is thrown away after the test need not reach the disk."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = OFF")


def test_rows_stay_consistent_and_converge() -> None:
    run_state_machine_as_test(
        Control,
        settings=hypothesis_settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            database=None,
        ),
    )


@pytest.fixture
def control() -> Iterator[Control]:
    """With one instance that runs. After the test the faults stop, and all must converge."""
    made = Control()
    made.some_instances(1)
    made.look()
    yield made
    made.teardown()


def deliver_all(control: Control, fault: Fault | None = None) -> None:
    while control.broker.messages:
        control.deliver(0, fault)


def check(control: Control) -> None:
    """What must hold between two steps."""
    for name in ("no_two_operations_at_once", "whatever_is_unfinished_can_go_on", "the_history_of_states_is_true",
                 "no_secret_is_shown", "complete_backups_are_there"):  # fmt: skip
        getattr(control, name)()


def test_a_creation_that_was_given_back_and_is_cancelled_then_is_undone(control: Control) -> None:
    control.ask("create", 0, late=False)
    control.deliver(0, Fault(Trouble.STOPPING, 1))
    operation = Operation.objects.unfinished().get()
    assert operation.reached > 0
    control.cancel_row(operation)
    check(control)
    assert not Operation.objects.get(pk=operation.pk).is_finished
    control.time_passes(31)
    control.look()
    deliver_all(control)
    check(control)
    assert not control.host.orphans(set(Instance.objects.exclude(installed_at=None).values_list("pk", flat=True)))


def test_what_is_wanted_again_after_a_cancelled_start_is_in_the_history(control: Control) -> None:
    control.ask("stop", 0, late=False)
    deliver_all(control)
    control.ask("start", 0, late=False)
    control.deliver(0, Fault(Trouble.CANCELLED, 0))
    assert Instance.objects.get().desired_state == Desired.STOPPED
    check(control)


def test_a_stop_that_failed_is_tried_again_though_its_service_has_ended(control: Control) -> None:
    control.ask("stop", 0, late=False)
    control.deliver(0, Fault(Trouble.FAILS_LATE, 0))
    assert set(control.host.units.values()) == {UnitState.STOPPED}
    assert Instance.objects.get().failure == OperationKind.STOP
    for _ in range(3):
        control.time_passes(31)
        control.look()
        deliver_all(control)
        check(control)
    assert Instance.objects.get().failure == ""


def test_what_needs_attention_says_why_and_comes_back_when_somebody_tries_again(control: Control) -> None:
    control.ask("stop", 0, late=False)
    control.deliver(0, None)
    control.ask("start", 0, late=False)
    for _ in range(30):
        deliver_all(control, Fault(Trouble.FAILS, 0))
        control.time_passes(700)
        control.look()
    row = Instance.objects.get()
    assert "a fault" in row.attention
    control.try_again()
    deliver_all(control)
    control.look()
    row.refresh_from_db()
    assert (row.attention, row.observed_state) == ("", State.ACTIVE)
