"""What became of an instance, over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from instances.choices import Desired, State
from instances.models import Instance, StateChange
from tests.api.client import Api
from tests.factories import make_installed, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance() -> Instance:
    """Active for three hours, then down for one, and active since an hour."""
    made, now = make_installed(), timezone.now()
    for hours, state in ((5, State.ACTIVE), (2, State.ERROR), (1, State.ACTIVE)):
        StateChange.objects.create(instance=made, state=state, at=now - timedelta(hours=hours))
    return made


def test_changes_come_the_newest_first(api: Api, instance: Instance) -> None:
    StateChange.objects.create(instance=make_installed(slug="other"), state=State.ERROR)
    found = api.get(f"/instances/{instance.pk}/history")
    assert {item["type"] for item in found["data"]} == {"state-changes"}
    assert [item["attributes"]["state"] for item in found["data"]] == ["active", "error", "active"]
    assert set(found["data"][0]["attributes"]) == {"at", "state", "wanted"}
    assert found["meta"]["pagination"]["count"] == 3
    oldest = api.get(f"/instances/{instance.pk}/history?sort=at&page[size]=1")["data"]
    assert len(oldest) == 1
    assert oldest[0]["attributes"]["at"] < found["data"][0]["attributes"]["at"]


@pytest.mark.parametrize(("query", "count"), [("filter[state]=error", 1), ("filter[wanted]=stopped", 0)])
def test_changes_are_filtered(api: Api, instance: Instance, query: str, count: int) -> None:
    assert len(api.get(f"/instances/{instance.pk}/history?{query}")["data"]) == count


def test_the_figures_of_a_time(api: Api, instance: Instance) -> None:
    found = api.get(f"/instances/{instance.pk}/availability?filter[days]=7")["data"]
    attributes = found["attributes"]
    assert (found["type"], found["id"]) == ("availabilities", instance.pk)
    # A busy machine may need some minutes to ask.
    assert 79.9 < attributes["availability"] < 80.5
    assert attributes["outages"] == 1
    assert round(attributes["outage_seconds"]) == 3600
    assert 0 <= attributes["available_seconds"] - 4 * 3600 < 300
    assert list(attributes["seconds_by_state"]) == ["active", "error"]
    assert attributes["since"] < attributes["until"]


def test_of_an_instance_of_which_nothing_is_known_there_is_no_figure(api: Api) -> None:
    found = api.get(f"/instances/{make_installed().pk}/availability")["data"]["attributes"]
    assert found["availability"] is None
    assert found["since"] is None
    assert found["seconds_by_state"] == {}


def test_a_removed_instance_keeps_its_history(api: Api, instance: Instance) -> None:
    Instance.objects.filter(pk=instance.pk).update(removed_at=timezone.now(), desired_state=Desired.REMOVED)
    assert len(api.get(f"/instances/{instance.pk}/history")["data"]) == 3
    assert api.get(f"/instances/{instance.pk}/availability")["data"]["attributes"]["outages"] == 1


@pytest.mark.parametrize(
    "query", ["filter[days]=0", "filter[days]=-1", "filter[days]=x", "filter[days]=99999", "days=3"]
)
def test_days_that_are_none_are_refused(api: Api, instance: Instance, query: str) -> None:
    (error,) = api.get(f"/instances/{instance.pk}/availability?{query}", expect=400)["errors"]
    assert error["source"]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize("what", ["history", "availability"])
def test_each_needs_the_permission_to_see_instances(instance: Instance, what: str) -> None:
    path = f"/instances/{instance.pk}/{what}"
    Api().call("GET", path, expect=401)
    Api(make_user("view_operation")).call("GET", path, expect=403)
    Api(make_user("view_instance")).call("GET", path, expect=200)


@pytest.mark.parametrize("what", ["history", "availability"])
def test_of_an_instance_that_is_none_there_is_none(api: Api, what: str) -> None:
    for identity in ("f" * 32, "a%00b", "-"):
        api.get(f"/instances/{identity}/{what}", expect=404)
    api.call("POST", f"/instances/{'f' * 32}/{what}", expect=405)
