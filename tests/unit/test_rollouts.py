"""Updates of many: what is filed when, what stops them, and how they go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import operations, outcomes, rollouts
from instances.choices import OperationKind, Origin, Outcome, Preparation, RolloutItemStatus, RolloutStatus
from instances.errors import NothingToUpdate, RolloutRefused, VersionRefused, WavesRefused
from instances.models import ActionLock, Host, Instance, Operation, Rollout, RolloutItem, Version
from instances.operations import Request
from tests.factories import make_domain, make_host, make_installed, make_instance, make_user, make_version

pytestmark = pytest.mark.django_db

ASKED = Request(Origin.COMMAND)
NEWER = "pypi:openslides==3.4"


@pytest.fixture(autouse=True)
def room_for_all(settings: Any) -> None:
    """So that a test sees a whole wave at once."""
    settings.OPERATIONS_AT_ONCE = 1000


@pytest.fixture
def version() -> Version:
    return make_version(name="3.4", image=NEWER)


def make_many(number: int, **values: Any) -> list[Instance]:
    place = {"host": make_host(), "domain": make_domain(), "version": make_version(name="3.3"), **values}
    return [make_installed(slug=f"a{position}", **place) for position in range(number)]


def updating() -> list[str]:
    """The slugs of those whose update waits or runs."""
    found = Operation.objects.unfinished().filter(kind=OperationKind.UPDATE).order_by("pk")
    return list(found.values_list("instance__slug", flat=True))


def end(slug: str, outcome: Outcome = Outcome.SUCCEEDED, error: str = "") -> Operation:
    """The end of an instance's update, as a worker writes it."""
    operation = Operation.objects.unfinished().get(instance__slug=slug)
    operation.status, operation.finished_at, operation.error = outcome, timezone.now(), error
    operation.save()
    apply = outcomes.apply_success if outcome == Outcome.SUCCEEDED else outcomes.apply_failure
    apply(operation, operation.instance)
    return operation


def end_all(outcome: Outcome = Outcome.SUCCEEDED) -> None:
    for slug in updating():
        end(slug, outcome)


def statuses(rollout: Rollout) -> dict[str, str]:
    return dict(rollout.items.values_list("instance__slug", "status"))


def test_each_wave_begins_when_the_one_before_has_ended(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(8), ASKED, waves="1,3")
    rollouts.advance()
    assert updating() == ["a0"]
    rollouts.advance()
    assert updating() == ["a0"]
    end("a0")
    rollouts.advance()
    assert updating() == ["a1", "a2", "a3"]
    end("a1")
    end("a3")
    rollouts.advance()
    assert updating() == ["a2"]
    end("a2")
    rollouts.advance()
    assert updating() == ["a4", "a5", "a6"]
    end_all()
    rollouts.advance()
    assert updating() == ["a7"]
    end_all()
    rollouts.advance()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.wave) == (RolloutStatus.FINISHED, 4)
    assert rollout.finished_at is not None
    assert set(statuses(rollout).values()) == {RolloutItemStatus.UPDATED}
    assert not Instance.objects.exclude(version=version).exists()


def test_a_wave_in_which_too_many_fail_is_the_last_one(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(6), ASKED, waves="1,2", failure_percent=40)
    rollouts.advance()
    end("a0")
    rollouts.advance()
    end("a1", Outcome.FAILED, "No room.")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.RUNNING, "a2 still runs"
    end("a2")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.STOPPED
    assert "1 of 2 instances in wave 2" in rollout.reason
    assert str(Instance.objects.get(slug="a1")) in rollout.reason
    assert rollout.items.get(instance__slug="a1").note == "No room."
    rollouts.advance()
    assert updating() == []


def test_once_too_many_have_failed_the_rest_of_the_wave_does_not_begin(version: Version, settings: Any) -> None:
    settings.OPERATIONS_AT_ONCE = 2
    rollout = rollouts.begin(version, make_many(20), ASKED, waves="20")
    for _turn in range(5):
        rollouts.advance()
        end_all(Outcome.FAILED)
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.STOPPED
    # Two may fail; with the third one it is clear, and the fourth one had begun with it.
    assert Operation.objects.filter(kind=OperationKind.UPDATE).count() == 4


def test_as_many_as_are_allowed_may_fail(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(4), ASKED, waves="2", failure_percent=50)
    for _wave in range(2):
        rollouts.advance()
        end(updating()[0], Outcome.FAILED)
        end_all()
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.FINISHED


def test_a_host_gets_no_more_than_it_runs_at_once(version: Version, settings: Any) -> None:
    settings.OPERATIONS_AT_ONCE = 2
    one, other = make_host(), make_host()
    instances = make_many(4, host=one)
    instances += [make_installed(slug="b0", host=other, version=instances[0].version)]
    rollouts.begin(version, instances, ASKED, waves="100%")
    rollouts.advance()
    assert updating() == ["a0", "a1", "b0"]
    end("a0")
    rollouts.advance()
    assert updating() == ["a1", "b0", "a2"]


def test_one_that_is_busy_has_its_turn_later(version: Version) -> None:
    instances = make_many(2)
    start = operations.start(instances[0], ASKED)
    rollouts.begin(version, instances, ASKED, waves="2")
    rollouts.advance()
    assert updating() == ["a1"]
    end("a1")
    rollouts.advance()
    assert Rollout.objects.get().status == RolloutStatus.RUNNING
    Operation.objects.filter(pk=start.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    rollouts.advance()
    assert updating() == ["a0"]


def test_what_cannot_be_updated_is_left_out_with_the_reason_and_is_no_part_of_a_wave(version: Version) -> None:
    instances = make_many(4)
    ActionLock.objects.create(instance=instances[0], action=OperationKind.UPDATE, reason="The assembly is on")
    new = make_installed(slug="new", version=version)
    gone = make_installed(slug="gone", version=instances[0].version, removed_at=timezone.now())
    unfinished = make_instance(slug="unfinished", version=instances[0].version)
    rollout = rollouts.begin(version, [*instances, new, gone, unfinished], ASKED, waves="1,2")
    assert statuses(rollout)["a0"] == RolloutItemStatus.SKIPPED
    notes = dict(rollout.items.filter(wave=rollouts.LEFT_OUT).values_list("instance__slug", "note"))
    assert set(notes) == {"a0", "new", "gone", "unfinished"}
    assert "The assembly is on" in notes["a0"]
    assert "already" in notes["new"]
    rollouts.advance()
    assert updating() == ["a1"]


def test_the_next_one_takes_the_place_of_one_that_is_locked_meanwhile(version: Version) -> None:
    instances = make_many(4)
    rollout = rollouts.begin(version, instances, ASKED, waves="1,3")
    ActionLock.objects.create(instance=instances[0], action=OperationKind.UPDATE, reason="The assembly is on")
    rollouts.advance()
    assert updating() == ["a1"]
    item = rollout.items.get(instance=instances[0])
    assert item.status == RolloutItemStatus.SKIPPED
    assert "The assembly is on" in item.note
    end("a1")
    rollouts.advance()
    assert updating() == ["a2", "a3"]


def test_one_that_is_removed_meanwhile_is_skipped(version: Version) -> None:
    instances = make_many(2)
    rollout = rollouts.begin(version, instances, ASKED, waves="1")
    Instance.objects.filter(pk=instances[0].pk).update(removed_at=timezone.now())
    rollouts.advance()
    assert updating() == ["a1"]
    end("a1")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.FINISHED
    assert statuses(rollout) == {"a0": RolloutItemStatus.SKIPPED, "a1": RolloutItemStatus.UPDATED}


def test_an_update_that_somebody_cancels_counts_as_a_failure(version: Version) -> None:
    rollouts.begin(version, make_many(2), ASKED, waves="1")
    rollouts.advance()
    operations.cancel(Operation.objects.get(), ASKED)
    rollouts.advance()
    assert Rollout.objects.get().status == RolloutStatus.STOPPED
    assert updating() == []


def test_it_waits_for_its_time(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(1), ASKED, not_before=timezone.now() + timedelta(hours=8))
    rollouts.advance()
    assert updating() == []
    Rollout.objects.filter(pk=rollout.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    rollouts.advance()
    assert updating() == ["a0"]


def test_each_update_is_asked_for_in_the_name_of_who_asked_for_all(version: Version) -> None:
    user = make_user()
    rollouts.begin(version, make_many(1), Request(Origin.ADMIN, user))  # type: ignore[arg-type]
    rollouts.advance()
    operation = Operation.objects.get()
    assert (operation.requested_by, operation.requested_via) == (user, Origin.ADMIN)


def test_a_version_that_is_not_prepared_is_prepared_once(version: Version) -> None:
    Version.objects.filter(pk=version.pk).update(preparation=Preparation.NONE)
    version.refresh_from_db()
    rollouts.begin(version, make_many(3), ASKED, waves="3")
    rollouts.advance()
    assert Operation.objects.filter(kind=OperationKind.PREPARE).count() == 1
    assert len(updating()) == 3


def stopped(version: Version) -> Rollout:
    """Of six, the first is updated, the next two were a wave in which one failed."""
    rollout = rollouts.begin(version, make_many(6), ASKED, waves="1,2")
    rollouts.advance()
    end("a0")
    rollouts.advance()
    end("a1", Outcome.FAILED, "No room.")
    end("a2")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.STOPPED
    return rollout


def test_it_goes_on_without_those_that_failed(version: Version) -> None:
    rollout = rollouts.resume(stopped(version), retry_failed=False)
    rollouts.advance()
    assert updating() == ["a3", "a4"]
    end_all()
    rollouts.advance()
    end_all()
    rollouts.advance()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.reason) == (RolloutStatus.FINISHED, "")
    assert statuses(rollout)["a1"] == RolloutItemStatus.FAILED


def test_it_goes_on_with_those_that_failed_in_a_wave_of_their_own(version: Version) -> None:
    rollout = rollouts.resume(stopped(version), retry_failed=True)
    rollouts.advance()
    assert updating() == ["a1"]
    end("a1", Outcome.FAILED)
    rollouts.advance()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.wave) == (RolloutStatus.STOPPED, 3)
    rollouts.resume(rollout, retry_failed=True)
    rollouts.advance()
    end("a1")
    rollouts.advance()
    assert updating() == ["a3", "a4"]
    assert list(rollout.items.order_by("wave").values_list("wave", flat=True)) == [1, 2, 4, 5, 5, 6]


def test_what_of_a_stopped_wave_did_not_begin_is_the_next_one(version: Version, settings: Any) -> None:
    settings.OPERATIONS_AT_ONCE = 1
    rollout = rollouts.begin(version, make_many(5), ASKED, waves="3", failure_percent=0)
    rollouts.advance()
    end("a0", Outcome.FAILED)
    rollouts.advance()
    settings.OPERATIONS_AT_ONCE = 10
    rollouts.resume(rollout, retry_failed=False)
    rollouts.advance()
    assert updating() == ["a1", "a2"]
    end_all()
    rollouts.advance()
    assert updating() == ["a3", "a4"]
    assert list(rollout.items.order_by("pk").values_list("wave", flat=True)) == [1, 2, 2, 3, 3]


def test_a_finished_one_can_be_resumed_only_for_what_failed(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(2), ASKED, waves="2", failure_percent=50)
    rollouts.advance()
    end("a0", Outcome.FAILED)
    end("a1")
    rollouts.advance()
    with pytest.raises(RolloutRefused):
        rollouts.resume(rollout, retry_failed=False)
    rollouts.resume(rollout, retry_failed=True)
    rollouts.advance()
    assert updating() == ["a0"]
    end("a0")
    rollouts.advance()
    with pytest.raises(RolloutRefused):
        rollouts.resume(rollout, retry_failed=True)


def test_cancelling_begins_nothing_new_and_lets_come_to_its_end_what_runs(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(4), ASKED, waves="2")
    rollouts.advance()
    Operation.objects.filter(instance__slug="a0").update(status=Outcome.RUNNING)
    rollouts.cancel(rollout, Request(Origin.ADMIN, make_user(username="anna")))  # type: ignore[arg-type]
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.CANCELLED
    assert "anna" in rollout.reason
    rollouts.advance()
    assert updating() == ["a0"]
    end("a0")
    rollouts.advance()
    assert statuses(rollout) == {
        "a0": RolloutItemStatus.UPDATED,
        "a1": RolloutItemStatus.SKIPPED,
        "a2": RolloutItemStatus.SKIPPED,
        "a3": RolloutItemStatus.SKIPPED,
    }
    with pytest.raises(RolloutRefused):
        rollouts.cancel(rollout, ASKED)
    with pytest.raises(RolloutRefused):
        rollouts.resume(rollout, retry_failed=True)


def test_it_stops_when_the_version_is_disabled(version: Version) -> None:
    rollout = rollouts.begin(version, make_many(2), ASKED, waves="1")
    rollouts.advance()
    Version.objects.filter(pk=version.pk).update(enabled=False)
    end("a0")
    rollouts.advance()
    rollout.refresh_from_db()
    assert (rollout.status, updating()) == (RolloutStatus.STOPPED, [])
    assert "enabled" in rollout.reason
    with pytest.raises(VersionRefused):
        rollouts.resume(rollout, retry_failed=False)
    Version.objects.filter(pk=version.pk).update(enabled=True)
    rollouts.resume(rollout, retry_failed=False)
    rollouts.advance()
    assert updating() == ["a1"]


@pytest.mark.parametrize(
    ("refusal", "change"),
    [
        (NothingToUpdate, lambda version: Instance.objects.update(version=version)),
        (VersionRefused, lambda version: setattr(version, "enabled", False)),
        (WavesRefused, None),
    ],
)
def test_what_makes_no_sense_is_refused(
    version: Version, refusal: type[Exception], change: Callable[[Version], object] | None
) -> None:
    make_many(2)
    if change is not None:
        change(version)
    instances = Instance.objects.select_related("host", "domain", "version")
    with pytest.raises(refusal):
        rollouts.begin(version, instances, ASKED, waves="none" if change is None else "1")
    assert not Rollout.objects.exists()


def test_one_that_cannot_go_on_keeps_no_other_from_it(version: Version) -> None:
    first = rollouts.begin(version, make_many(1), ASKED)
    Rollout.objects.filter(pk=first.pk).update(failure_percent=200)
    RolloutItem.objects.filter(rollout=first).update(status="nonsense")
    other = make_installed(slug="other", version=Instance.objects.get().version)
    rollouts.begin(version, [other], ASKED)
    rollouts.advance()
    assert updating() == ["other"]


def test_the_plan_of_many_costs_as_much_as_that_of_one(version: Version) -> None:
    make_many(30)
    instances = Instance.objects.select_related("host", "domain", "version")
    with CaptureQueriesContext(connection) as one:
        rollouts.plan(version, instances[:1])
    with CaptureQueriesContext(connection) as many:
        rollouts.plan(version, instances)
    assert len(many) == len(one)


def test_nothing_to_do_costs_two_queries() -> None:
    with CaptureQueriesContext(connection) as found:
        rollouts.advance()
    assert len(found) == 2
    assert not Host.objects.exists()
