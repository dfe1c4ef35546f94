"""manage.py rollout."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from instances import rollouts
from instances.choices import Origin, Outcome, RolloutStatus
from instances.models import Instance, Operation, Rollout, Version
from tests.commands.conftest import Run
from tests.factories import make_domain, make_host, make_installed, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def newer() -> Version:
    return make_version(name="3.4", image="pypi:openslides==3.4")


def make_many(number: int) -> list[Instance]:
    place = {"host": make_host(), "domain": make_domain(domain="example.org"), "version": make_version(name="3.3")}
    return [make_installed(slug=f"a{position}", **place) for position in range(number)]


def fail() -> Rollout:
    """The one that there is has stopped, because its first instance failed."""
    rollouts.advance()
    Operation.objects.unfinished().update(status=Outcome.FAILED, finished_at=timezone.now(), error="No room.")
    rollouts.advance()
    return Rollout.objects.get()


def test_begin_takes_the_instances_in_their_order(manage: Run, newer: Version) -> None:
    make_many(3)
    answer = manage("rollout", "begin", "3.4", "a2", "a0.example.org", "--waves", "1", "--failures", "25")
    rollout = Rollout.objects.get()
    assert (answer.code, f"number {rollout.pk} " in answer.out) == (0, True)
    assert (rollout.waves, rollout.failure_percent, rollout.requested_via) == ("1", 25, Origin.COMMAND)
    assert list(rollout.items.values_list("instance__slug", "wave")) == [("a2", 1), ("a0", 2)]


def test_all_are_those_that_have_another_version_the_oldest_first(manage: Run, newer: Version) -> None:
    instances = make_many(3)
    Instance.objects.filter(pk=instances[2].pk).update(created_at=timezone.now() - timedelta(days=9))
    make_installed(slug="new", version=newer)
    assert manage("rollout", "begin", "3.4", "--all").code == 0
    assert list(Rollout.objects.get().items.values_list("instance__slug", flat=True)) == ["a2", "a0", "a1"]


def test_a_dry_run_prints_the_waves_and_begins_nothing(manage: Run, newer: Version) -> None:
    make_many(8)
    make_installed(slug="new", version=newer)
    answer = manage("rollout", "begin", "3.4", "new", *(f"a{n}" for n in range(8)), "--dry-run")
    assert [line.split()[:2] for line in answer.out.splitlines()[1:4]] == [["1", "1"], ["2", "5"], ["3", "2"]]
    assert "Left out: new." in answer.out
    plan = json.loads(manage("rollout", "begin", "3.4", "--all", "--dry-run", "--json").out)
    assert [len(wave) for wave in plan["waves"]] == [1, 5, 2]
    assert not Rollout.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["begin", "3.4"], 2),
        (["begin", "3.4", "a0", "--all"], 2),
        (["begin", "3.4", "a0", "--waves", "none"], 1),
        (["begin", "9.9", "a0"], 3),
        (["begin", "3.4", "nowhere"], 3),
        (["begin", "3.3", "a0"], 1),
        (["show", "99"], 3),
        (["resume", "99999999999999999999"], 3),
    ],
)
def test_what_makes_no_sense_changes_nothing(manage: Run, newer: Version, arguments: list[str], code: int) -> None:
    make_many(1)
    answer = manage("rollout", *arguments)
    assert (answer.code, bool(answer.error)) == (code, True)
    assert not Rollout.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["begin", "3.4", "a0", "--failures", "101"],
        ["begin", "3.4", "a0", "--at", "tonight"],
        ["begin", "3.4", "a0", "--at", "2020-01-01 02:00"],
        ["cancel", "one"],
    ],
)
def test_wrong_words_are_refused(manage: Run, newer: Version, arguments: list[str]) -> None:
    make_many(1)
    assert manage("rollout", *arguments).code != 0
    assert not Rollout.objects.exists()


def test_it_can_begin_at_a_time(manage: Run, newer: Version) -> None:
    make_many(1)
    assert "begins at 2070-01-02 02:00" in manage("rollout", "begin", "3.4", "a0", "--at", "2070-01-02 02:00").out
    rollouts.advance()
    assert not Operation.objects.exists()


def test_list_and_show_say_how_far_it_is(manage: Run, newer: Version) -> None:
    make_many(3)
    assert "manage.py rollout begin" in manage("rollout", "list").out
    manage("rollout", "begin", "3.4", "--all")
    rollout = fail()
    assert "1 of 3" in manage("rollout", "list").out
    assert json.loads(manage("rollout", "list", "--json").out)[0]["counts"]["failed"] == 1
    shown = manage("rollout", "show", str(rollout.pk)).out
    assert "stopped" in shown
    assert "No room." in shown
    items = json.loads(manage("rollout", "show", str(rollout.pk), "--json").out)["items"]
    assert [(item["name"], item["status"]) for item in items][:2] == [
        ("a0.example.org", "failed"),
        ("a1.example.org", "waiting"),
    ]


def test_it_is_resumed_and_cancelled(manage: Run, newer: Version) -> None:
    make_many(3)
    manage("rollout", "begin", "3.4", "--all")
    rollout = fail()
    assert "goes on with wave 2" in manage("rollout", "resume", str(rollout.pk), "--retry-failed").out
    assert manage("rollout", "resume", str(rollout.pk)).code == 1
    rollouts.advance()
    assert "Still running: 0" in manage("rollout", "cancel", str(rollout.pk)).out
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.CANCELLED
    assert manage("rollout", "cancel", str(rollout.pk)).code == 1


def test_waiting_ends_when_it_stops(manage: Run, newer: Version) -> None:
    make_many(2)
    answer = manage("rollout", "begin", "3.4", "--all", "--wait", "--timeout", "0.1")
    assert (answer.code, "goes on by itself" in answer.error) == (4, True)
    rollout = fail()
    manage("rollout", "resume", str(rollout.pk))
    Operation.objects.all().delete()
    for _turn in range(3):
        rollouts.advance()
        for operation in Operation.objects.unfinished():
            Instance.objects.filter(pk=operation.instance_id).update(version=newer)
            Operation.objects.filter(pk=operation.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.FINISHED
    answer = manage("rollout", "resume", str(rollout.pk), "--retry-failed", "--wait", "--timeout", "0.1")
    assert answer.code == 4
