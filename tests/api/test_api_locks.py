"""Locks over the API: who may sets them and takes them away; instances show them, and what needs attention."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.api.serializers.lock import LockSerializer
from instances.models import ActionLock, Instance
from tests.api.client import LEGACY, Api, pointers, resource
from tests.factories import make_installed, make_user

REASON = "The assembly is on"


def lock(instance: Instance, attributes: dict[str, Any]) -> dict[str, Any]:
    data = {"data": {"type": "instances", "id": instance.pk}}
    return resource("locks", attributes, {"instance": data})


def test_an_action_is_locked_and_then_refused(api: Api) -> None:
    instance = make_installed()
    made = api.post("/locks", lock(instance, {"action": "stop", "reason": REASON}))["data"]
    assert made["attributes"]["locked_by"] == "superuser"
    assert made["relationships"]["instance"]["data"]["id"] == instance.pk
    assert api.get(f"/locks/{made['id']}")["data"]["attributes"] == made["attributes"]
    stop = resource("instances", {"state": "stopped"}, id=instance.pk)
    refused = api.patch(f"/instances/{instance.pk}", stop, expect=409)["errors"][0]
    assert refused["code"] == "action_locked"
    assert REASON in refused["detail"]
    api.delete(f"/locks/{made['id']}")
    api.patch(f"/instances/{instance.pk}", stop)


def test_an_instance_shows_its_locks_and_what_needs_attention(api: Api) -> None:
    now = timezone.now()
    instance = make_installed(attention="5 tries were in vain.", retry_at=now)
    ActionLock.objects.create(instance=instance, action="update", reason=REASON, locked_at=now)
    make_installed()
    (found,) = api.get("/instances?filter[needs_attention]=true", accept=LEGACY)["data"]
    assert found["id"] == instance.pk
    shown = found["attributes"]
    written = timezone.localtime(now).isoformat()
    assert (shown["needs_attention"], shown["retry_at"]) == ("5 tries were in vain.", written)
    assert shown["locks"] == [{"action": "update", "reason": REASON, "locked_by": None, "locked_at": written}]
    (other,) = api.get("/instances?filter[needs_attention]=false")["data"]
    assert (other["attributes"]["needs_attention"], other["attributes"]["locks"]) == ("", [])


def test_a_client_that_sends_them_back_changes_nothing(api: Api) -> None:
    instance = make_installed(attention="5 tries were in vain.")
    ActionLock.objects.create(instance=instance, action="update", reason=REASON)
    shown = api.get(f"/instances/{instance.pk}")["data"]["attributes"]
    api.patch(f"/instances/{instance.pk}", resource("instances", {**shown, "needs_attention": ""}, id=instance.pk))
    instance.refresh_from_db()
    assert instance.attention
    assert ActionLock.objects.count() == 1


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"action": "fly", "reason": REASON}, "/data/attributes/action"),
        ({"action": "create", "reason": REASON}, "/data/attributes/action"),
        ({"reason": REASON}, "/data/attributes/action"),
        ({"action": "stop"}, "/data/attributes/reason"),
        ({"action": "stop", "reason": ""}, "/data/attributes/reason"),
        ({"action": "stop", "reason": None}, "/data/attributes/reason"),
        ({"action": "stop", "reason": "two\nlines"}, "/data/attributes/reason"),
        ({"action": "stop", "reason": "x" * 201}, "/data/attributes/reason"),
        ({"action": ["stop"], "reason": REASON}, "/data/attributes/action"),
    ],
)
def test_a_value_that_cannot_be_taken_is_named(api: Api, attributes: Any, pointer: str) -> None:
    assert pointers(api.post("/locks", lock(make_installed(), attributes), expect=422)) == [pointer]
    assert not ActionLock.objects.exists()


def test_it_needs_an_instance_that_is_there(api: Api) -> None:
    api.post("/locks", resource("locks", {"action": "stop", "reason": REASON}), expect=422)
    removed = make_installed(removed_at=timezone.now())
    error = api.post("/locks", lock(removed, {"action": "stop", "reason": REASON}), expect=422)["errors"][0]
    assert error["code"] == "does_not_exist"


def test_what_is_locked_already_keeps_its_reason(api: Api) -> None:
    instance = make_installed()
    ActionLock.objects.create(instance=instance, action="stop", reason=REASON)
    error = api.post("/locks", lock(instance, {"action": "stop", "reason": "Another"}), expect=409)["errors"][0]
    assert error["code"] == "already_locked"
    assert REASON in error["detail"]
    assert ActionLock.objects.get().reason == REASON


def test_so_it_does_when_somebody_was_faster(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make_installed()
    real_check = LockSerializer.check

    def check(serializer: LockSerializer, row: ActionLock) -> None:
        real_check(serializer, row)
        ActionLock.objects.create(instance=instance, action="stop", reason=REASON)

    monkeypatch.setattr(LockSerializer, "check", check)
    error = api.post("/locks", lock(instance, {"action": "stop", "reason": "Another"}), expect=409)["errors"][0]
    assert error["code"] == "already_locked"
    assert ActionLock.objects.get().reason == REASON


@pytest.mark.parametrize("query", ["filter[instance]={id}", "filter[action]=stop", "filter[search]=is%20on"])
def test_they_are_found_by_filters(api: Api, query: str) -> None:
    instance, other = make_installed(), make_installed()
    ActionLock.objects.create(instance=instance, action="stop", reason=REASON)
    ActionLock.objects.create(instance=other, action="update", reason="Frozen")
    found = api.get(f"/locks?include=instance&{query.format(id=instance.pk)}")
    assert [row["attributes"]["reason"] for row in found["data"]] == [REASON]
    assert [row["id"] for row in found["included"]] == [instance.pk]


@pytest.mark.django_db
def test_each_way_needs_its_permission() -> None:
    instance = make_installed()
    row = ActionLock.objects.create(instance=instance, action="stop", reason=REASON)
    document = lock(instance, {"action": "start", "reason": REASON})
    for method, path, needed, other in (
        ("GET", "/locks", "view_actionlock", "view_instance"),
        ("POST", "/locks", "add_actionlock", "change_instance"),
        ("DELETE", f"/locks/{row.pk}", "delete_actionlock", "add_actionlock"),
    ):
        Api().call(method, path, document, expect=401)
        Api(make_user(other)).call(method, path, document, expect=403)
        assert Api(make_user(needed)).call(method, path, document).status_code in (200, 201, 204)


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(api: Api) -> None:
    counts = []
    for more in (2, 20):
        for _number in range(more):
            instance = make_installed(port=None)
            for action in ("stop", "update"):
                ActionLock.objects.create(instance=instance, action=action, reason=REASON, locked_by=make_user())
        found = []
        for path in ("/locks", "/locks?include=instance", "/instances?page[size]=1000"):
            with CaptureQueriesContext(connection) as queries:
                api.get(path)
            found.append(len(queries))
        counts.append(found)
    assert counts[0] == counts[1]
