"""osversions: what can be registered, changed, prepared and deleted."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from instances import operations
from instances.choices import OperationKind, Origin, Outcome, Preparation
from instances.models import Operation, Version
from instances.operations import Request
from tests.api.client import Api, messages, pointers, resource
from tests.factories import make_host, make_installed, make_operation, make_version


def document(version: Version | None = None, **attributes: Any) -> dict[str, Any]:
    if version is not None:
        return resource("osversions", attributes, id=str(version.pk))
    return resource("osversions", {"name": "3.3", "image": "pypi:openslides==3.3", **attributes})


def test_a_version_is_registered(api: Api) -> None:
    answer = api.post("/osversions", document(default=True))["data"]
    version = Version.objects.get(pk=answer["id"])
    attributes = answer["attributes"]
    assert (version.name, version.image, version.default) == ("3.3", "pypi:openslides==3.3", True)
    assert attributes == {
        "name": "3.3",
        "image": "pypi:openslides==3.3",
        "default": True,
        "enabled": True,
        "engine": "virtualenv",
        "preparation": "none",
        "prepared_at": None,
    }
    assert answer["links"]["self"] == f"http://testserver/api/osversions/{version.pk}"


def test_how_far_it_is_prepared_cannot_be_sent(api: Api) -> None:
    answer = api.post("/osversions", document(preparation="prepared", prepared_at="2026-01-01T00:00:00Z"))["data"]
    assert (answer["attributes"]["preparation"], answer["attributes"]["prepared_at"]) == ("none", None)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", "newest"),
        ("name", "3.3\n"),
        ("name", "3." + "3" * 60),
        ("image", "pypi:django==5.2"),
        ("image", "--privileged"),
        ("image", "localhost/openslides:3.3"),
        ("image", "x" * 256),
        ("engine", "docker"),
        ("default", "perhaps"),
        ("default", []),
        ("enabled", {}),
    ],
)
def test_a_wrong_value_is_refused_at_its_attribute(api: Api, attribute: str, value: Any) -> None:
    answer = api.post("/osversions", document(**{attribute: value}), expect=422)
    assert set(pointers(answer)) == {f"/data/attributes/{attribute}"}
    assert not Version.objects.exists()


def test_a_name_that_is_taken_is_refused_at_the_name(api: Api) -> None:
    make_version(name="3.3")
    assert pointers(api.post("/osversions", document(), expect=422)) == ["/data/attributes/name"]


def test_a_second_default_is_refused_at_the_mark(api: Api) -> None:
    make_version(default=True)
    assert pointers(api.post("/osversions", document(default=True), expect=422)) == ["/data/attributes/default"]
    version = make_version()
    answer = api.patch(f"/osversions/{version.pk}", document(version, default=True), expect=422)
    assert pointers(answer) == ["/data/attributes/default"]


def test_a_version_is_changed(api: Api) -> None:
    version = make_version(name="3.3")
    answer = api.patch(f"/osversions/{version.pk}/", document(version, enabled=False, name="3.3"))
    assert answer["data"]["attributes"]["enabled"] is False
    version.refresh_from_db()
    assert (version.enabled, version.preparation) == (False, Preparation.PREPARED)


def test_another_image_must_be_prepared_again(api: Api) -> None:
    version = make_version(prepared_at=timezone.now())
    answer = api.patch(f"/osversions/{version.pk}", document(version, image="pypi:openslides==3.2"))
    assert (answer["data"]["attributes"]["preparation"], answer["data"]["attributes"]["prepared_at"]) == ("none", None)


def test_the_image_of_a_version_in_use_stays(api: Api) -> None:
    version = make_installed().version
    answer = api.patch(f"/osversions/{version.pk}", document(version, image="pypi:openslides==3.2"), expect=422)
    assert pointers(answer) == ["/data/attributes/image"]
    api.patch(f"/osversions/{version.pk}", document(version, image=version.image, enabled=False))


def test_the_image_of_a_version_that_is_being_prepared_stays(api: Api) -> None:
    version = make_version()
    make_operation(kind=OperationKind.PREPARE, version=version)
    answer = api.patch(f"/osversions/{version.pk}", document(version, image="pypi:openslides==3.2"), expect=409)
    assert answer["errors"][0]["meta"]["operation"]["kind"] == "prepare"


def test_a_version_is_prepared(api: Api) -> None:
    make_host()
    version = make_version(preparation=Preparation.NONE)
    answer = api.call("POST", f"/osversions/{version.pk}/prepare", expect=202)
    found = json.loads(answer.content)["data"]
    operation = Operation.objects.get()
    assert (operation.kind, operation.version, operation.requested_via) == (OperationKind.PREPARE, version, Origin.API)
    assert (found["type"], found["id"], found["attributes"]["status"]) == ("operations", str(operation.pk), "queued")
    assert found["relationships"]["osversion"]["data"] == {"type": "osversions", "id": str(version.pk)}
    assert answer["Location"] == f"http://testserver/api/operations/{operation.pk}"
    assert api.get(f"/osversions/{version.pk}")["data"]["attributes"]["preparation"] == "preparing"


def test_preparing_twice_at_once_is_a_conflict(api: Api) -> None:
    make_host()
    version = make_version()
    api.call("POST", f"/osversions/{version.pk}/prepare/", expect=202)
    answer = api.call("POST", f"/osversions/{version.pk}/prepare", expect=409)
    assert json.loads(answer.content)["errors"][0]["code"] == "operation_running"


def test_without_a_host_nothing_can_be_prepared(api: Api) -> None:
    answer = api.call("POST", f"/osversions/{make_version().pk}/prepare", expect=409)
    assert json.loads(answer.content)["errors"][0]["code"] == "no_host"


def test_a_version_is_deleted(api: Api) -> None:
    version = make_version()
    api.delete(f"/osversions/{version.pk}")
    assert not Version.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_prepared_for_a_version_is_taken_away_with_it(api: Api) -> None:
    host = make_host(name=f"h-{uuid4().hex}")
    one, same, other = make_version(), make_version(), make_version(image="pypi:openslides==3.2")
    api.delete(f"/osversions/{one.pk}")
    assert messages(host) == 0
    api.delete(f"/osversions/{same.pk}")
    assert messages(host) == 1
    api.patch(f"/osversions/{other.pk}", document(other, image="pypi:openslides==3.1"))
    assert messages(host) == 2


@pytest.mark.parametrize("removed", [True, False])
def test_a_version_of_an_instance_stays_on_record(api: Api, removed: bool) -> None:
    version = make_installed(removed_at=timezone.now() if removed else None).version
    assert api.delete(f"/osversions/{version.pk}", expect=409)["errors"][0]["code"] == "conflict"


def test_a_version_with_an_unfinished_operation_stays(api: Api) -> None:
    operation = make_operation(kind=OperationKind.PREPARE, version=make_version(), status=Outcome.RUNNING)
    answer = api.delete(f"/osversions/{operation.version_id}", expect=409)
    assert answer["errors"][0]["code"] == "operation_running"


def test_a_version_to_which_an_update_is_postponed_stays_as_it_is(api: Api) -> None:
    operation = operations.update(
        make_installed(),
        make_version(name="3.4", image="pypi:openslides==3.4"),
        Request(Origin.API, not_before=timezone.now() + timedelta(hours=8)),
    )
    (error,) = api.delete(f"/osversions/{operation.version_id}", expect=409)["errors"]
    assert (error["code"], f"Operation {operation.pk}" in error["detail"]) == ("operation_running", True)
    assert operation.version is not None
    changed = document(operation.version, image="pypi:openslides==3.3")
    (error,) = api.patch(f"/osversions/{operation.version_id}", changed, expect=409)["errors"]
    assert error["code"] == "operation_running"
    operation.refresh_from_db()
    assert operation.status == Outcome.POSTPONED


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["3.2", "3.3", "4.0"]),
        ("filter[name]=3.3", ["3.3"]),
        ("filter[default]=true", ["3.3"]),
        ("filter[enabled]=false", ["4.0"]),
        ("filter[search]=slides%3D%3D3.2", ["3.2"]),
        ("sort=-name", ["4.0", "3.3", "3.2"]),
    ],
)
def test_lists_are_filtered_and_sorted(api: Api, query: str, names: list[str]) -> None:
    make_version(name="3.2", image="pypi:openslides==3.2")
    make_version(name="3.3", default=True)
    make_version(name="4.0", enabled=False)
    found = [one["attributes"]["name"] for one in api.get(f"/osversions?{query}")["data"]]
    assert (found if "sort" in query else sorted(found)) == names


def test_the_seeds_client_reads_name_image_and_default(api: Api) -> None:
    version = make_version(name="3.3")
    found = api.get("/osversions", accept="application/vnd.app+json;version=1")["data"]
    assert found[0]["id"] == str(version.pk)
    assert {"name", "image", "default"} <= set(found[0]["attributes"])
