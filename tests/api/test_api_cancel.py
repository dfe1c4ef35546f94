"""Operations are asked for, postponed and cancelled over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from instances import claims, operations
from instances.choices import Desired, OperationKind, Origin, Outcome
from instances.models import ActionLock, Instance, Operation
from instances.operations import Request
from tests.api.client import Api
from tests.factories import make_backup, make_installed, make_operation, make_user, make_version

pytestmark = pytest.mark.django_db


def asked(instance: Instance, kind: str, version: Any = None, **attributes: Any) -> dict[str, Any]:
    relationships: dict[str, Any] = {"instance": {"data": {"type": "instances", "id": instance.pk}}}
    if version is not None:
        relationships["osversion"] = {"data": {"type": "osversions", "id": str(version.pk)}}
    return {"data": {"type": "operations", "attributes": {"kind": kind, **attributes}, "relationships": relationships}}


def cancellation(operation: Operation, **attributes: Any) -> dict[str, Any]:
    return {
        "data": {"type": "operations", "id": str(operation.pk), "attributes": attributes or {"status": "cancelled"}}
    }


@pytest.mark.parametrize("kind", ["start", "stop", "backup", "remove"])
def test_an_operation_is_filed(api: Api, kind: str) -> None:
    found = api.post("/operations", asked(make_installed(), kind))["data"]
    assert (found["attributes"]["kind"], found["attributes"]["status"]) == (kind, "queued")
    assert found["attributes"]["can_cancel"]


def test_an_update_names_its_version_and_nothing_else_does(api: Api) -> None:
    instance, version = make_installed(), make_version(image="pypi:openslides==3.4")
    for document in (asked(instance, "update"), asked(instance, "stop", version)):
        errors = api.post("/operations", document, expect=422)["errors"]
        assert "osversion" in errors[0]["source"]["pointer"]
    api.post("/operations", asked(instance, "update", version))
    assert Operation.objects.get().version == version


def test_one_for_tonight_is_postponed_and_does_not_disturb(api: Api) -> None:
    instance = make_installed()
    tonight = (timezone.now() + timedelta(hours=8)).isoformat()
    found = api.post("/operations", asked(instance, "stop", not_before=tonight))["data"]
    assert found["attributes"]["status"] == "postponed"
    assert Instance.objects.get().desired_state == Desired.ACTIVE
    answer = api.post("/operations", asked(instance, "stop", not_before=tonight), expect=409)
    assert answer["errors"][0]["code"] == "already_postponed"
    api.post("/operations", asked(instance, "start"))


@pytest.mark.parametrize(
    ("moment", "word"), [("2020-01-02T02:00:00+01:00", "over"), ("9999-12-31T00:00:00Z", "ten years"), ("x", "format")]
)
def test_a_time_that_cannot_be_meant_is_refused(api: Api, moment: str, word: str) -> None:
    instance = make_installed()
    (error,) = api.post("/operations", asked(instance, "stop", not_before=moment), expect=422)["errors"]
    assert error["source"]["pointer"] == "/data/attributes/not_before"
    assert word in error["detail"]
    assert not Operation.objects.exists()


def test_a_locked_action_is_refused_with_the_reason(api: Api) -> None:
    instance = make_installed()
    ActionLock.objects.create(instance=instance, action=OperationKind.STOP, reason="The assembly is on")
    (error,) = api.post("/operations", asked(instance, "stop"), expect=409)["errors"]
    assert error["code"] == "action_locked"
    assert "The assembly is on" in error["detail"]


def test_a_waiting_one_is_cancelled_at_once_and_stays_so(api: Api) -> None:
    operation = make_operation()
    for _again in range(2):
        found = api.patch(f"/operations/{operation.pk}", cancellation(operation))["data"]
        assert found["attributes"]["status"] == "cancelled"
        assert not found["attributes"]["can_cancel"]


def test_of_a_running_one_the_cancellation_is_asked_for(api: Api) -> None:
    operation = make_operation()
    claims.take(operation.pk)
    found = api.patch(f"/operations/{operation.pk}", cancellation(operation))["data"]
    assert (found["attributes"]["status"], found["attributes"]["can_cancel"]) == ("running", False)


@pytest.mark.parametrize("values", [{"status": Outcome.RUNNING, "is_final": True}, {"status": Outcome.SUCCEEDED}])
def test_what_cannot_be_cancelled_is_409_with_the_reason(api: Api, values: dict[str, Any]) -> None:
    if values["status"] == Outcome.SUCCEEDED:
        values = {**values, "finished_at": timezone.now()}
    operation = make_operation(**values)
    (error,) = api.patch(f"/operations/{operation.pk}", cancellation(operation), expect=409)["errors"]
    assert error["code"] == "cannot_cancel"


def test_nothing_else_of_an_operation_can_be_changed(api: Api) -> None:
    operation = make_operation()
    api.patch(f"/operations/{operation.pk}", cancellation(operation, status="succeeded"), expect=422)
    api.patch(f"/operations/{operation.pk}", cancellation(operation, error="x"), expect=422)
    operation.refresh_from_db()
    assert operation.status == Outcome.QUEUED


def test_who_may_only_look_can_ask_for_nothing() -> None:
    instance = make_installed()
    operation = make_operation(instance=instance)
    looker = Api(make_user("view_operation", "view_instance"))
    looker.post("/operations", asked(instance, "stop"), expect=403)
    looker.patch(f"/operations/{operation.pk}", cancellation(operation), expect=403)
    changer = Api(make_user("view_operation", "view_instance", "change_instance"))
    changer.patch(f"/operations/{operation.pk}", cancellation(operation))
    changer.post("/operations", asked(instance, "remove"), expect=403)


@pytest.mark.parametrize("instance", [None, {"type": "instances", "id": "x" * 32}, {"type": "hosts", "id": "1"}, "x"])
def test_an_instance_that_is_none_is_named(api: Api, instance: Any) -> None:
    document = asked(make_installed(), "stop")
    document["data"]["relationships"]["instance"] = {"data": instance}
    assert "instance" in api.post("/operations", document, expect=422)["errors"][0]["source"]["pointer"]


def test_a_postponed_one_can_begin_now(api: Api) -> None:
    instance = make_installed()
    tonight = (timezone.now() + timedelta(hours=8)).isoformat()
    api.post("/operations", asked(instance, "stop", not_before=tonight))
    operation = Operation.objects.get()
    now = cancellation(operation, status="queued")
    for _ in range(2):
        found = api.patch(f"/operations/{operation.pk}", now)["data"]
        assert found["attributes"]["status"] == "queued"
    Operation.objects.update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    assert api.patch(f"/operations/{operation.pk}", now, expect=409)["errors"][0]["code"] == "not_postponed"


def test_a_postponed_removal_begins_with_the_permission_to_remove() -> None:
    operation = make_operation(
        kind=OperationKind.REMOVE, status=Outcome.POSTPONED, not_before=timezone.now() + timedelta(hours=8)
    )
    now = cancellation(operation, status="queued")
    Api(make_user("change_instance", "view_operation")).patch(f"/operations/{operation.pk}", now, expect=403)
    Api(make_user("change_instance", "delete_instance", "view_operation")).patch(f"/operations/{operation.pk}", now)


def test_a_postponed_restore_begins_with_the_permission_to_restore() -> None:
    later = Request(Origin.API, not_before=timezone.now() + timedelta(hours=8))
    operation = operations.restore(make_backup(), later)
    now = cancellation(operation, status="queued")
    Api(make_user("change_instance", "view_operation")).patch(f"/operations/{operation.pk}", now, expect=403)
    Api(make_user("change_instance", "restore_backup", "view_operation")).patch(f"/operations/{operation.pk}", now)
