"""rollouts: updates of many are begun, watched, resumed and cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import rollouts
from instances.choices import Origin, Outcome, RolloutItemStatus, RolloutStatus
from instances.models import Instance, Operation, Rollout, RolloutItem, Version
from tests.api.client import Api, pointers, resource
from tests.factories import make_domain, make_host, make_installed, make_user, make_version


@pytest.fixture
def newer(db: None) -> Version:
    return make_version(name="3.4", image="pypi:openslides==3.4")


def make_many(number: int) -> list[Instance]:
    place = {"host": make_host(), "domain": make_domain(domain="example.org"), "version": make_version(name="3.3")}
    return [make_installed(slug=f"a{position}", **place) for position in range(number)]


def document(version: Version, instances: list[Instance], **attributes: Any) -> dict[str, Any]:
    return resource(
        "rollouts",
        attributes,
        {
            "osversion": {"data": {"type": "osversions", "id": str(version.pk)}},
            "instances": {"data": [{"type": "instances", "id": instance.pk} for instance in instances]},
        },
    )


def change(rollout: Rollout, **attributes: Any) -> dict[str, Any]:
    return resource("rollouts", attributes, id=str(rollout.pk))


def fail_first(version: Version) -> Rollout:
    """Of three the first one failed, so it has stopped."""
    rollout = rollouts.begin(version, make_many(3), rollouts.operations.SYSTEM)
    rollouts.advance()
    Operation.objects.update(status=Outcome.FAILED, finished_at=timezone.now(), error="No room.")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.STOPPED
    return rollout


def test_one_is_begun(api: Api, newer: Version) -> None:
    instances = make_many(8)
    sent = document(newer, instances[::-1], waves="1, 3", failure_percent=20, not_before="2030-01-02T02:00:00+01:00")
    answer = api.call("POST", "/rollouts", sent, expect=201)
    rollout = Rollout.objects.get()
    assert answer.headers["Location"].endswith(f"/api/rollouts/{rollout.pk}")
    found = api.get(f"/rollouts/{rollout.pk}")["data"]
    attributes = found["attributes"]
    assert {name: attributes[name] for name in ("status", "waves", "failure_percent", "wave", "counts")} == {
        "status": "running",
        "waves": "1,3",
        "failure_percent": 20,
        "wave": 1,
        "counts": {"waiting": 8, "running": 0, "updated": 0, "failed": 0, "skipped": 0, "left_out": 0},
    }
    assert attributes["not_before"].startswith("2030-01-02T0")
    assert (attributes["requested_by"], attributes["requested_via"]) == ("superuser", "api")
    assert found["relationships"]["osversion"]["data"] == {"type": "osversions", "id": str(newer.pk)}
    # In the order in which they were sent.
    assert [(item["name"], item["wave"]) for item in attributes["items"][:3]] == [
        ("a7.example.org", 1),
        ("a6.example.org", 2),
        ("a5.example.org", 2),
    ]


def test_what_is_not_sent_has_a_default(api: Api, newer: Version) -> None:
    found = api.post("/rollouts", document(newer, make_many(1)))["data"]["attributes"]
    assert (found["waves"], found["failure_percent"], found["not_before"]) == ("1,5,20%", 10, None)
    assert found["items"][0]["status"] == "waiting"


def test_the_operation_of_an_instance_is_named(api: Api, newer: Version) -> None:
    rollout = fail_first(newer)
    found = api.get(f"/rollouts/{rollout.pk}")["data"]["attributes"]
    operation = Operation.objects.get()
    assert (found["status"], found["counts"]["failed"]) == ("stopped", 1)
    assert "a0.example.org" in found["reason"]
    assert found["items"][0] == {
        "instance": operation.instance_id,
        "name": "a0.example.org",
        "wave": 1,
        "status": "failed",
        "operation": str(operation.pk),
        "note": "No room.",
    }


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"waves": "none"}, "/data/attributes/waves"),
        ({"waves": 5}, "/data/attributes/waves"),
        ({"failure_percent": 101}, "/data/attributes/failure_percent"),
        ({"failure_percent": "many"}, "/data/attributes/failure_percent"),
        ({"not_before": "tonight"}, "/data/attributes/not_before"),
        ({"not_before": "2020-01-02T02:00:00+01:00"}, "/data/attributes/not_before"),
    ],
)
def test_wrong_values_are_refused_where_they_stand(
    api: Api, newer: Version, attributes: dict[str, Any], pointer: str
) -> None:
    assert pointers(api.post("/rollouts", document(newer, make_many(2), **attributes), expect=422)) == [pointer]
    assert not Rollout.objects.exists()


@pytest.mark.parametrize("data", [None, {}, [{}], [{"type": "hosts", "id": "1"}], [{"type": "instances", "id": "x\n"}]])
def test_instances_that_are_none_are_refused(api: Api, newer: Version, data: Any) -> None:
    sent = document(newer, [])
    sent["data"]["relationships"]["instances"]["data"] = data
    assert pointers(api.post("/rollouts", sent, expect=422)) == ["/data/relationships/instances"]


def test_one_that_nobody_can_use_is_refused(api: Api, newer: Version) -> None:
    instances = make_many(1)
    Instance.objects.update(version=newer)
    answer = api.post("/rollouts", document(newer, instances), expect=422)
    assert pointers(answer) == ["/data/relationships/instances"]
    assert answer["errors"][0]["code"] == "nothing_to_update"
    Version.objects.filter(pk=newer.pk).update(enabled=False)
    assert pointers(api.post("/rollouts", document(newer, instances), expect=422)) == ["/data/relationships/osversion"]


def test_it_is_resumed_with_what_failed(api: Api, newer: Version) -> None:
    rollout = fail_first(newer)
    found = api.patch(f"/rollouts/{rollout.pk}", change(rollout, status="running", retry_failed=True))
    assert found["data"]["attributes"]["status"] == "running"
    assert found["data"]["attributes"]["counts"]["waiting"] == 3


def test_it_is_resumed_without_what_failed(api: Api, newer: Version) -> None:
    rollout = fail_first(newer)
    api.patch(f"/rollouts/{rollout.pk}", change(rollout, status="running"))
    assert RolloutItem.objects.filter(status=RolloutItemStatus.FAILED).count() == 1


def test_it_is_cancelled_once(api: Api, newer: Version) -> None:
    rollout = rollouts.begin(newer, make_many(3), rollouts.operations.Request(Origin.COMMAND))
    for _time in range(2):
        found = api.patch(f"/rollouts/{rollout.pk}", change(rollout, status="cancelled"))
        assert found["data"]["attributes"]["status"] == "cancelled"
    answer = api.patch(f"/rollouts/{rollout.pk}", change(rollout, status="running"), expect=409)
    assert answer["errors"][0]["code"] == "rollout_refused"


@pytest.mark.parametrize("status", ["finished", "stopped", None, 5])
def test_another_status_cannot_be_asked_for(api: Api, newer: Version, status: Any) -> None:
    rollout = fail_first(newer)
    answer = api.patch(f"/rollouts/{rollout.pk}", change(rollout, status=status), expect=422)
    assert pointers(answer) == ["/data/attributes/status"]


def test_it_cannot_be_deleted(api: Api, newer: Version) -> None:
    api.call("DELETE", f"/rollouts/{fail_first(newer).pk}", expect=405)


def test_lists_are_filtered_and_leave_the_instances_out(api: Api, newer: Version) -> None:
    rollout = fail_first(newer)
    assert len(api.get("/rollouts?filter[status]=stopped")["data"]) == 1
    assert api.get("/rollouts?filter[status]=running")["data"] == []
    assert len(api.get(f"/rollouts?filter[osversion]={newer.pk}&include=osversion")["included"]) == 1
    identity = Instance.objects.get(slug="a1").pk
    found = api.get(f"/rollouts?filter[instance]={identity}")["data"]
    assert [one["id"] for one in found] == [str(rollout.pk)]
    assert "items" not in found[0]["attributes"]
    assert found[0]["attributes"]["counts"]["waiting"] == 2


def test_many_cost_as_much_as_one(api: Api, newer: Version) -> None:
    instances = make_many(5)
    one = rollouts.begin(newer, instances[:1], rollouts.operations.SYSTEM)
    with CaptureQueriesContext(connection) as few:
        api.get("/rollouts")
        api.get(f"/rollouts/{one.pk}")
    many = [rollouts.begin(newer, instances, rollouts.operations.SYSTEM) for _number in range(5)]
    with CaptureQueriesContext(connection) as found:
        api.get("/rollouts")
        api.get(f"/rollouts/{many[0].pk}")
    assert len(found) == len(few)


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ((), 403),
        (("add_rollout",), 403),
        (("change_instance",), 403),
        (("add_rollout", "change_instance"), 201),
    ],
)
def test_who_begins_one_may_change_instances(newer: Version, permissions: tuple[str, ...], expected: int) -> None:
    Api(make_user(*permissions)).post("/rollouts", document(newer, make_many(1)), expect=expected)


def test_who_reads_may_view_them(newer: Version) -> None:
    fail_first(newer)
    Api(make_user()).get("/rollouts", expect=403)
    Api(make_user("view_rollout")).get("/rollouts")


def test_its_version_cannot_be_deleted_before_it_has_ended(api: Api, newer: Version) -> None:
    rollout = rollouts.begin(newer, make_many(1), rollouts.operations.SYSTEM)
    assert "Cancel" in api.delete(f"/osversions/{newer.pk}", expect=409)["errors"][0]["detail"]
    rollouts.cancel(rollout, rollouts.operations.SYSTEM)
    api.delete(f"/osversions/{newer.pk}")
