"""POST /api/instances: what is made of the document, and what is refused without leaving anything behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from instances.choices import Desired, Engine, OperationKind, Origin, Preparation
from instances.models import Domain, Host, Instance, Operation, Version
from tests.api.client import JSON_API, LEGACY, Api, messages, pointers, resource
from tests.factories import make_blob, make_domain, make_instance, make_user, make_version

pytestmark = pytest.mark.usefixtures("host", "domain", "version")

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_instance.json"

NULLS = (
    "db",
    "mode",
    "event_description",
    "event_date",
    "event_location",
    "event_organizer",
    "projector_logo",
    "admin_first_name",
    "admin_last_name",
    "admin_username",
    "admin_initial_password",
    "superadmin_password",
    "url",
    "state",
    "created_date",
)


def document(version: Version | None = None, **attributes: Any) -> dict[str, Any]:
    relationships = {"osversion": {"data": {"type": "osversions", "id": str(version.pk)}}} if version else None
    return resource("instances", {"slug": "assembly", "parent_domain": "localhost", **attributes}, relationships)


def test_the_example_of_the_documentation_makes_an_instance(api: Api, version: Version) -> None:
    example = json.loads(EXAMPLE.read_text())
    example["data"]["relationships"]["osversion"]["data"]["id"] = str(version.pk)
    answer = api.post("/instances", example)["data"]
    sent = example["data"]["attributes"]
    assert {name: answer["attributes"][name] for name in sent} == sent


def test_it_is_saved_and_its_creation_is_filed(api: Api, host: Host, domain: Domain, version: Version) -> None:
    answer = api.post("/instances", document(version, event_name="Annual assembly"))["data"]
    instance = Instance.objects.get(pk=answer["id"])
    operation = instance.operations.get()
    assert (instance.slug, instance.domain, instance.version, instance.host) == ("assembly", domain, version, host)
    assert (instance.event_name, instance.desired_state) == ("Annual assembly", Desired.ACTIVE)
    assert (operation.kind, operation.requested_via) == (OperationKind.CREATE, Origin.API)
    assert operation.requested_by is not None
    assert operation.requested_by.username == "superuser"
    assert answer["relationships"]["operation"]["data"] == {"type": "operations", "id": str(operation.pk)}


def test_the_answer_is_the_whole_resource_with_its_address(api: Api, version: Version) -> None:
    response = api.call("POST", "/instances", document(), expect=201)
    found = json.loads(response.content)["data"]
    attributes = found["attributes"]
    assert response["Content-Type"] == JSON_API
    assert response["Location"] == found["links"]["self"] == f"http://testserver/api/instances/{found['id']}"
    assert (attributes["state"], attributes["desired_state"], attributes["url"]) == ("installing", "active", "")
    assert attributes["created_date"].count("-") == 2
    assert len(attributes["created_date"]) == 10
    assert len(attributes["superadmin_password"]) == len(attributes["admin_initial_password"]) == 16
    assert attributes["admin_username"] == "Local Administrator"
    assert (attributes["db"], attributes["mode"], attributes["projector_logo"]) == ("sqlite", "subdomain", None)
    assert found["relationships"]["osversion"]["data"] == {"type": "osversions", "id": str(version.pk)}
    assert found["relationships"]["osdomain"]["data"]["type"] == "osdomains"
    assert found["relationships"]["host"]["data"]["type"] == "hosts"


@pytest.mark.django_db(transaction=True)
def test_the_task_is_sent(api: Api, host: Host) -> None:
    Host.objects.update(name=f"h-{uuid4().hex}")
    host.refresh_from_db()
    api.post("/instances", document())
    assert messages(host) == 1


def test_nulls_as_the_seeds_client_sends_them_mean_the_defaults(api: Api) -> None:
    sent = document(**dict.fromkeys(NULLS))
    sent["data"]["relationships"] = {"volumes": {"data": []}}
    attributes = api.post("/instances", sent)["data"]["attributes"]
    assert attributes["superadmin_password"]
    assert (attributes["event_name"], attributes["admin_first_name"]) == ("OpenSlides", "Local")


@pytest.mark.parametrize("path", ["/instances", "/instances/"])
def test_the_seeds_client_is_answered_with_and_without_a_slash(api: Api, path: str) -> None:
    answer = api.call("POST", path, document(), accept=LEGACY, expect=201)
    assert answer["Content-Type"] == "application/vnd.app+json"


@pytest.mark.parametrize("content_type", [JSON_API, "application/vnd.app+json", "application/json; charset=utf-8"])
def test_the_body_may_have_any_of_three_types(api: Api, content_type: str) -> None:
    api.call("POST", "/instances", document(), content_type=content_type, expect=201)


def test_what_only_the_server_sets_is_ignored(api: Api) -> None:
    attributes = api.post(
        "/instances",
        document(
            url="https://elsewhere.example.org/",
            state="stopped",
            created_date="1999-01-01",
            desired_state="stopped",
            observed_state="active",
            installed_at="1999-01-01T00:00:00Z",
        ),
    )["data"]["attributes"]
    assert (attributes["state"], attributes["desired_state"], attributes["installed_at"]) == (
        "installing",
        "active",
        None,
    )
    assert attributes["url"] == ""
    assert attributes["created_date"] > "2020"


def test_texts_are_kept_as_they_were_typed(api: Api) -> None:
    typed = '  Jahresversammlung "Ü" 🎉 {{ 7*7 }} $(id) <b>&amp;\' '
    assert api.post("/instances", document(event_name=typed))["data"]["attributes"]["event_name"] == typed
    assert Instance.objects.get().event_name == typed


def test_chosen_passwords_and_names_are_taken(api: Api) -> None:
    chosen = {
        "superadmin_password": "öffne Dich 🗝",
        "admin_initial_password": " blanks stay ",
        "admin_username": "ada",
        "admin_first_name": "Ada",
        "admin_last_name": "Lovelace",
    }
    attributes = api.post("/instances", document(**chosen))["data"]["attributes"]
    assert {name: attributes[name] for name in chosen} == chosen


def test_a_logo_is_named_by_its_blob(api: Api) -> None:
    blob = make_blob()
    assert api.post("/instances", document(projector_logo=blob.pk))["data"]["attributes"]["projector_logo"] == blob.pk
    assert Instance.objects.get().projector_logo == blob


def test_an_unprepared_version_is_prepared_first(api: Api) -> None:
    version = make_version(preparation=Preparation.NONE)
    api.post("/instances", document(version))
    assert sorted(Operation.objects.values_list("kind", flat=True)) == ["create", "prepare"]


def test_without_a_domain_the_default_one_is_taken(api: Api, domain: Domain) -> None:
    answer = api.post("/instances", resource("instances", {"slug": "assembly"}))
    assert answer["data"]["attributes"]["parent_domain"] == domain.domain


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("slug", None),
        ("slug", ""),
        ("slug", "Not a label"),
        ("slug", "-x"),
        ("slug", "x-"),
        ("slug", "a.b"),
        ("slug", "a\n"),
        ("slug", "ä"),
        ("slug", "a" * 64),
        ("slug", ["assembly"]),
        ("slug", {"a": 1}),
        ("slug", 7),
        ("slug", True),
        ("parent_domain", "nowhere.example.org"),
        ("parent_domain", 5),
        ("parent_domain", []),
        ("db", "oracle"),
        ("db", "postgresql"),
        ("db", 1),
        ("db", {}),
        ("mode", "teleport"),
        ("mode", []),
        ("projector_logo", "unknown"),
        ("projector_logo", 5),
        ("projector_logo", {}),
        ("event_name", "two\nlines"),
        ("event_name", "x" * 101),
        ("event_name", "x" * 10_000),
        ("event_description", "a\tb"),
        ("event_date", 2016),
        ("event_location", ["Berlin"]),
        ("event_organizer", "a\u2028b"),
        ("admin_username", "Admin"),
        ("admin_username", "x" * 151),
        ("superadmin_password", "p" * 129),
        ("superadmin_password", "a\nb"),
        ("admin_initial_password", {}),
    ],
)
def test_a_wrong_value_is_refused_at_its_attribute(api: Api, attribute: str, value: Any) -> None:
    answer = api.post("/instances", document(**{attribute: value}), expect=422)
    assert set(pointers(answer)) == {f"/data/attributes/{attribute}"}
    error = answer["errors"][0]
    assert error["status"] == "422"
    assert error["code"]
    assert error["title"]
    assert error["detail"]
    assert not Instance.objects.exists()
    assert not Operation.objects.exists()


def test_an_unregistered_domain_is_refused_with_what_to_do(api: Api) -> None:
    make_domain(domain="other.example.org")
    answer = api.post("/instances", document(parent_domain="nowhere"), expect=422)
    assert "localhost, other.example.org" in answer["errors"][0]["detail"]
    assert "POST /api/osdomains" in answer["errors"][0]["detail"]


def test_every_wrong_attribute_is_named(api: Api) -> None:
    answer = api.post("/instances", document(slug="No", mode="no", event_name="x" * 101), expect=422)
    assert sorted(pointers(answer)) == [f"/data/attributes/{name}" for name in ("event_name", "mode", "slug")]


def test_a_slug_that_is_taken_is_refused_at_the_slug(api: Api, domain: Domain) -> None:
    make_instance(slug="assembly", domain=domain)
    assert pointers(api.post("/instances", document(), expect=422)) == ["/data/attributes/slug"]
    assert Instance.objects.count() == 1


def test_the_control_plane_s_own_name_is_refused_at_the_slug(api: Api, settings: Settings, domain: Domain) -> None:
    settings.DEPLOYMENT = "systemd"
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, f"assembly.{domain.domain}"]
    assert pointers(api.post("/instances", document(), expect=422)) == ["/data/attributes/slug"]


def test_the_slug_is_free_in_another_domain(api: Api) -> None:
    make_instance(slug="assembly")
    api.post("/instances", document())


@pytest.mark.parametrize(
    "identifier",
    [
        None,
        5,
        "1",
        [],
        {},
        {"type": "osversions"},
        {"type": "instances", "id": "1"},
        {"type": "osversions", "id": 1},
        {"type": "osversions", "id": "0"},
        {"type": "osversions", "id": "one"},
        {"type": "osversions", "id": "-1"},
        {"type": "osversions", "id": "9" * 30},
        {"type": "osversions", "id": ["1"]},
        {"type": ["osversions"], "id": "1"},
        {"type": "osversions", "id": ""},
    ],
)
def test_an_unknown_version_is_refused_at_the_relationship(api: Api, identifier: Any) -> None:
    sent = document()
    sent["data"]["relationships"] = {"osversion": {"data": identifier}}
    if identifier is None:
        api.post("/instances", sent)
        return
    assert pointers(api.post("/instances", sent, expect=422)) == ["/data/relationships/osversion"]
    assert not Instance.objects.exists()


def test_without_a_default_version_one_must_be_named(api: Api, version: Version) -> None:
    Version.objects.filter(pk=version.pk).update(default=False)
    assert pointers(api.post("/instances", document(), expect=422)) == ["/data/relationships/osversion"]


@pytest.mark.parametrize("values", [{"enabled": False}, {"engine": Engine.PODMAN, "image": "localhost/openslides:3.3"}])
def test_a_version_that_cannot_be_used_is_refused_at_the_relationship(api: Api, values: Any) -> None:
    answer = api.post("/instances", document(make_version(**values)), expect=422)
    assert pointers(answer) == ["/data/relationships/osversion"]
    assert not Instance.objects.exists()


def test_a_full_host_is_a_conflict(api: Api, host: Host) -> None:
    Host.objects.update(capacity=0)
    assert api.post("/instances", document(), expect=409)["errors"][0]["code"] == "no_host"
    assert not Instance.objects.exists()


def test_an_id_chosen_by_the_client_is_refused(api: Api) -> None:
    sent = document()
    sent["data"]["id"] = "0" * 32
    answer = api.post("/instances", sent, expect=403)
    assert answer["errors"][0]["code"] == "client_generated_id"
    sent["data"]["id"] = None
    api.post("/instances", sent, expect=201)


def test_the_passwords_are_shown_only_to_those_who_may_see_them(host: Host) -> None:
    hidden = Api(make_user("add_instance", "view_instance"))
    shown = Api(make_user("add_instance", "view_instance", "view_credentials"))
    one = hidden.post("/instances", document(slug="one"))["data"]["attributes"]
    two = shown.post("/instances", document(slug="two"))["data"]["attributes"]
    assert (one["superadmin_password"], one["admin_initial_password"]) == (None, None)
    assert two["superadmin_password"]
    assert two["admin_initial_password"]
    assert Instance.objects.get(slug="one").superadmin_password
