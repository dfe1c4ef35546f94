"""The page of an instance's history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from instances.admin.instance.history import ROWS, duration, percent_text
from instances.choices import Desired, State
from instances.models import Instance, StateChange
from tests.admin.conftest import signed_in
from tests.factories import make_installed, make_instance

pytestmark = pytest.mark.django_db


def page(instance: Instance, query: str = "") -> str:
    return reverse("admin:instances_instance_states", args=(instance.pk,)) + query


def change(instance: Instance, hours: float, state: State, wanted: Desired = Desired.ACTIVE) -> None:
    at = timezone.now() - timedelta(hours=hours)
    StateChange.objects.create(instance=instance, state=state, wanted=wanted, at=at)


@pytest.fixture
def instance() -> Instance:
    """Ten hours old: an hour stopped behind the product's back, then stopped on purpose for two."""
    made = make_installed()
    for hours, state, wanted in (
        (10, State.ACTIVE, Desired.ACTIVE),
        (5, State.STOPPED, Desired.ACTIVE),
        (4, State.ACTIVE, Desired.ACTIVE),
        (3, State.STOPPED, Desired.STOPPED),
        (1, State.SLEEPING, Desired.ACTIVE),
    ):
        change(made, hours, state, wanted)
    return made


def test_it_shows_the_figures_and_the_changes(browser: Client, instance: Instance) -> None:
    answer = browser.get(page(instance, "?days=1"))
    history = answer.context["history"]
    assert history.percent == "87.5 %"
    assert (history.figures.outages, history.down) == (1, "1 h")
    assert [row.state for row in history.rows] == ["sleeping", "stopped", "active", "stopped", "active"]
    assert [row.note for row in history.rows if row.note] == ["although it was wanted active"]
    assert history.times[0][0] == "active"
    assert "87.5 %" in answer.content.decode()


def test_the_strip_is_red_where_it_was_down_and_grey_where_nothing_is_counted(
    browser: Client, instance: Instance
) -> None:
    strip = browser.get(page(instance, "?days=1")).context["history"].strip
    assert len(strip) == 48
    colours = [part.colour for part in strip]
    assert colours[:27] == [""] * 27
    assert "nothing is known" in strip[0].text
    assert {"success", "danger"} <= set(colours)
    assert colours[-1] == "success"
    assert colours[-4] == ""
    assert "stopped" in strip[-4].text


def test_days_that_are_not_offered_are_as_if_nothing_was_said(browser: Client, instance: Instance) -> None:
    for query in ("", "?days=2", "?days=x", "?days=-1"):
        assert browser.get(page(instance, query)).context["history"].days == 30


def test_one_that_never_changed_says_so(browser: Client) -> None:
    answer = browser.get(page(make_installed()))
    assert "Nothing is known of this time yet" in answer.content.decode()


def test_the_newest_hundred_changes_are_shown(browser: Client) -> None:
    instance = make_installed()
    for number in range(ROWS + 5):
        change(instance, number / 60 + 0.01, State.ACTIVE if number % 2 else State.SLEEPING)
    answer = browser.get(page(instance))
    assert len(answer.context["history"].rows) == ROWS
    assert "5 older changes are not shown" in answer.content.decode()


def test_it_is_linked_from_the_page_of_one_that_was_made(browser: Client, instance: Instance) -> None:
    change_page = reverse("admin:instances_instance_change", args=(instance.pk,))
    assert page(instance) in browser.get(change_page).content.decode()
    other = make_instance(slug="never-made")
    assert "/states/" not in browser.get(reverse("admin:instances_instance_change", args=(other.pk,))).content.decode()


def test_it_needs_the_permission_to_see_instances(instance: Instance) -> None:
    assert signed_in("view_operation").get(page(instance)).status_code == 403
    assert signed_in("view_instance", username="viewer").get(page(instance)).status_code == 200
    missing = reverse("admin:instances_instance_states", args=("f" * 32,))
    assert signed_in("view_instance", username="other").get(missing).status_code == 404


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=3), "less than a second"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(hours=3), "3 h"),
        (timedelta(days=1, hours=2, minutes=5), "1 day 2 h"),
        (timedelta(days=3, minutes=5), "3 days"),
    ],
)
def test_durations_are_told_in_two_units(time: timedelta, text: str) -> None:
    assert duration(time) == text


def test_percentages_are_written_as_the_language_does() -> None:
    assert [percent_text(value) for value in (100.0, 99.999, 87.5)] == ["100 %", "99.999 %", "87.5 %"]
    with override("de"):
        assert percent_text(99.999) == "99,999 %"
