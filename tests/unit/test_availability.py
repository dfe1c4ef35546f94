"""What follows from the history of states: how long an instance answered of the time in which it was wanted to."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from instances import availability, history, looks, operations
from instances.choices import Desired, State
from instances.models import Host, Instance, StateChange
from tests.factories import make_host, make_installed, make_instance
from tests.unit.pretended_host import PretendedHost

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def at(hours: float) -> datetime:
    """So many hours ago."""
    return NOW - timedelta(hours=hours)


def past(instance: Instance, *changes: tuple[float, State] | tuple[float, State, Desired]) -> None:
    """Hours ago, the state, and what was wanted (active, unless something else is said)."""
    StateChange.objects.filter(instance=instance).delete()
    for hours, state, *wanted in changes:
        StateChange.objects.create(
            instance=instance, state=state, at=at(hours), wanted=wanted[0] if wanted else Desired.ACTIVE
        )


@pytest.fixture
def instance() -> Instance:
    return make_installed()


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the figures only; rows are written with the time that it is."""
    monkeypatch.setattr(availability, "timezone", SimpleNamespace(now=lambda: NOW))


@pytest.fixture
def running_host(monkeypatch: pytest.MonkeyPatch) -> PretendedHost:
    """Everything that is asked of it runs."""
    pretended = PretendedHost()
    monkeypatch.setattr(looks, "deployer_for", lambda _kind: pretended)
    return pretended


def percent(instance: Instance, days: float = 1) -> float | None:
    return availability.figures(availability.spans_of(instance, days)).percent


def test_a_quarter_of_its_time_down_is_75_percent(instance: Instance) -> None:
    past(instance, (8, State.ACTIVE), (6, State.ERROR), (4, State.SLEEPING))
    found = availability.figures(availability.spans_of(instance, 1))
    assert (found.available, found.down, found.outages) == (timedelta(hours=6), timedelta(hours=2), 1)
    assert found.percent == 75


def test_nothing_known_is_no_figure(instance: Instance) -> None:
    assert availability.spans_of(instance, 30) == []
    assert percent(instance) is None


def test_what_was_before_the_days_counts_from_their_beginning(instance: Instance) -> None:
    past(instance, (100, State.ERROR), (48, State.ACTIVE), (12, State.ERROR), (6, State.ACTIVE))
    (first, *_rest) = availability.spans_of(instance, 1)
    assert (first.state, first.since, first.until) == (State.ACTIVE, at(24), at(12))
    assert percent(instance) == 75


def test_the_end_of_a_time_is_the_removal(instance: Instance) -> None:
    past(instance, (10, State.ACTIVE), (6, State.REMOVING, Desired.REMOVED))
    instance.removed_at = at(5)
    spans = availability.spans_of(instance, 1)
    assert spans[-1].until == at(5)
    assert percent(instance) == 100
    instance.removed_at = at(50)
    assert availability.spans_of(instance, 1) == []


@pytest.mark.parametrize("state", [State.NEW, State.INSTALLING, State.INSTALLING_FAILED, State.REMOVING, State.UNKNOWN])
def test_where_there_is_nothing_to_answer_nothing_is_counted(instance: Instance, state: State) -> None:
    past(instance, (8, State.ACTIVE), (6, state))
    assert availability.figures(availability.spans_of(instance, 1)).counted == timedelta(hours=2)


def test_stopped_on_purpose_is_no_outage_and_behind_everybodys_back_is_one(instance: Instance) -> None:
    past(instance, (8, State.ACTIVE), (4, State.STOPPED, Desired.STOPPED))
    assert percent(instance) == 100
    past(instance, (8, State.ACTIVE), (4, State.STOPPED, Desired.ACTIVE))
    assert percent(instance) == 50


def test_states_of_one_outage_that_follow_each_other_are_one(instance: Instance) -> None:
    past(
        instance,
        (9, State.ACTIVE), (8, State.STOPPED), (7, State.ERROR), (6, State.STARTING), (5, State.ACTIVE),
        (4, State.UPDATING), (3, State.ACTIVE),
    )  # fmt: skip
    assert availability.figures(availability.spans_of(instance, 1)).outages == 2


def test_to_wake_is_available_and_to_fail_at_it_is_not(instance: Instance) -> None:
    past(instance, (8, State.SLEEPING), (4, State.STARTING), (2, State.ACTIVE))
    assert percent(instance) == 100
    past(instance, (8, State.SLEEPING), (4, State.STARTING))
    assert percent(instance) == 100
    past(instance, (8, State.SLEEPING), (4, State.STARTING), (2, State.ERROR))
    assert percent(instance) == 50
    past(instance, (8, State.ACTIVE), (4, State.STARTING), (2, State.ACTIVE))
    assert percent(instance) == 75


def test_almost_all_the_time_is_never_called_100(instance: Instance) -> None:
    past(instance, (24 * 300, State.ACTIVE), (5 / 3600, State.ERROR), (4 / 3600, State.ACTIVE))
    assert percent(instance, 365) == 99.999


def test_the_time_in_each_state_the_longest_first(instance: Instance) -> None:
    past(instance, (10, State.ERROR), (9, State.SLEEPING), (4, State.ACTIVE), (1, State.SLEEPING))
    found = availability.times(availability.spans_of(instance, 1))
    hours = timedelta(hours=1)
    assert list(found.items()) == [(State.SLEEPING, 6 * hours), (State.ACTIVE, 3 * hours), (State.ERROR, hours)]


def test_slices_are_cut_at_their_bounds(instance: Instance) -> None:
    past(instance, (3.5, State.ACTIVE), (2, State.ERROR), (0.5, State.ACTIVE))
    spans = availability.spans_of(instance, 1)
    cut = availability.slices(spans, at(5), timedelta(hours=1), 5)
    assert [[span.state for span in part] for part in cut] == [
        [], [State.ACTIVE], [State.ACTIVE], [State.ERROR], [State.ERROR, State.ACTIVE],
    ]  # fmt: skip
    assert sum((span.lasted for part in cut for span in part), timedelta()) == timedelta(hours=3.5)


def test_a_change_of_the_clock_makes_no_time_that_lasts_less_than_nothing(instance: Instance) -> None:
    past(instance, (4, State.ACTIVE), (-1, State.ERROR))
    spans = availability.spans_of(instance, 1)
    assert all(span.lasted >= timedelta(0) for span in spans)
    assert percent(instance) == 100


def test_it_is_two_queries_however_often_the_state_changed(
    instance: Instance, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    past(instance, *((hours / 10, State.ACTIVE if hours % 2 else State.SLEEPING) for hours in range(300, 0, -1)))
    with django_assert_num_queries(2):  # type: ignore[operator]
        assert percent(instance) == 100


# What is written down, beside the states themselves.


def test_what_is_wanted_is_written_down_with_the_state(instance: Instance) -> None:
    history.change_state(instance, State.STOPPED)
    operations.stop(instance, operations.Request())
    found = StateChange.objects.filter(instance=instance).order_by("id").values_list("state", "wanted")
    assert list(found) == [("stopped", "active"), ("stopped", "stopped")]


def test_what_is_wanted_is_read_when_it_is_written_down(instance: Instance) -> None:
    read_before = Instance.objects.get(pk=instance.pk)
    Instance.objects.update(desired_state=Desired.STOPPED)
    history.change_state(read_before, State.STOPPED)
    assert StateChange.objects.get().wanted == Desired.STOPPED


def test_what_was_wanted_before_a_cancelled_operation_is_wanted_again(instance: Instance) -> None:
    operation = operations.stop(instance, operations.Request())
    operations.cancel(operation, operations.Request())
    assert list(instance.state_changes.order_by("id").values_list("wanted", flat=True)) == ["stopped", "active"]


def test_the_time_in_which_nobody_looked_is_unknown(running_host: PretendedHost) -> None:
    host = make_host(last_seen=timezone.now() - timedelta(hours=2))
    instance = make_installed(host=host)
    never = make_instance(host=host, slug="never-made")
    past(instance, (5, State.ACTIVE))
    looks.look_after(Host.objects.get(pk=host.pk))
    states = [change.state for change in instance.state_changes.order_by("at", "id")]
    assert states[:3] == ["active", "unknown", "active"]
    assert instance.state_changes.get(state="unknown").at == host.last_seen
    assert not never.state_changes.exists()
    written = StateChange.objects.count()
    looks.look_after(Host.objects.get(pk=host.pk))
    assert StateChange.objects.count() == written
