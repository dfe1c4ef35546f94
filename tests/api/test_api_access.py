"""Who may do what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.test import Client

from instances.models import Instance
from tests.api.client import JSON_API, Api, basic, resource
from tests.factories import PASSWORD, make_blob, make_host, make_installed, make_operation, make_user, make_version

PATHS = (
    "",
    "/",
    "/instances",
    "/instances/1",
    "/osversions",
    "/osversions/1",
    "/osdomains",
    "/operations",
    "/hosts",
    "/blobs/x",
    "/nowhere",
)


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_readable_without_signing_in(path: str) -> None:
    answer = Api().call("GET", path, expect=401)
    assert answer["WWW-Authenticate"].startswith("Basic ")
    assert answer["Content-Type"] == JSON_API
    assert json.loads(answer.content)["errors"][0]["status"] == "401"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/instances", "/osversions", "/osdomains", "/blobs", "/osversions/1/prepare"])
def test_nothing_can_be_sent_without_signing_in(path: str) -> None:
    Api().call("POST", path, resource("instances", {}), expect=401)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic x",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode(b"a\x00b:c").decode(),
        "Basic " + base64.b64encode(b"a:c\x00").decode(),
        "Basic a b c",
        "Basic \xe4",
        basic("nobody"),
        basic("x" * 10_000),
        "Bearer abc",
        "Basic " + "=" * 1000,
    ],
)
def test_wrong_credentials_are_no_failure_of_the_server(header: str) -> None:
    answer: Any = Client(raise_request_exception=False).get("/api/instances", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Basic ")
    assert json.loads(answer.content)["errors"]


@pytest.mark.django_db
@pytest.mark.parametrize("values", [{"is_staff": False}, {"is_active": False}])
def test_only_active_staff_is_let_in(values: Any) -> None:
    user = make_user("view_instance", **values)
    assert Api(user).call("GET", "/instances").status_code in (401, 403)
    assert Api(user).call("GET", "/").status_code in (401, 403)


@pytest.mark.django_db
def test_a_wrong_password_is_refused() -> None:
    user = make_user("view_instance")
    client = Client()
    assert client.get("/api/instances", headers={"authorization": basic(user, "wrong")}).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("/instances", "view_instance"),
        ("/osversions", "view_version"),
        ("/osdomains", "view_domain"),
        ("/operations", "view_operation"),
        ("/hosts", "view_host"),
    ],
)
def test_reading_needs_the_permission_to_view(path: str, permission: str) -> None:
    make_installed()
    others = {"view_instance", "view_version", "view_domain", "view_operation", "view_host"} - {permission}
    Api(make_user(permission)).get(path)
    answer = Api(make_user(*others)).get(path, expect=403)
    assert answer["errors"][0]["code"] == "permission_denied"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "permission"), [("POST", "add_instance"), ("PATCH", "change_instance"), ("DELETE", "delete_instance")]
)
def test_writing_needs_its_own_permission(method: str, permission: str) -> None:
    make_version(default=True)
    instance = make_installed()
    path = "/instances" if method == "POST" else f"/instances/{instance.pk}"
    sent = resource("instances", {"slug": "new", "parent_domain": instance.domain.domain})
    if method == "PATCH":
        sent["data"]["id"] = instance.pk
    others = {"view_instance", "add_instance", "change_instance", "delete_instance"} - {permission}
    Api(make_user(*others)).call(method, path, sent, expect=403)
    allowed = Api(make_user(permission)).call(method, path, sent)
    assert allowed.status_code in (200, 201, 204), allowed.content


@pytest.mark.django_db
def test_preparing_a_version_needs_the_permission_to_change_it() -> None:
    version = make_version()
    make_host()
    Api(make_user("view_version", "add_version")).call("POST", f"/osversions/{version.pk}/prepare", expect=403)
    Api(make_user("change_version")).call("POST", f"/osversions/{version.pk}/prepare", expect=202)


@pytest.mark.django_db
def test_what_is_included_needs_the_permission_to_view_it() -> None:
    make_operation()
    Api(make_user("view_instance")).get("/instances?include=operation,host", expect=403)
    Api(make_user("view_instance", "view_operation", "view_host")).get("/instances?include=operation,host")


@pytest.mark.django_db
def test_pictures_need_their_own_permissions() -> None:
    blob = make_blob()
    Api(make_user("view_instance")).call("GET", f"/blobs/{blob.pk}", expect=403)
    Api(make_user("view_blob")).call("GET", f"/blobs/{blob.pk}", expect=200)
    Api(make_user("view_blob")).call("POST", "/blobs", expect=403)


@pytest.mark.django_db
def test_passwords_need_a_permission_of_their_own() -> None:
    instance = make_installed()
    for path in ("/instances", f"/instances/{instance.pk}", "/operations?include=instance"):
        answer = Api(make_user("view_instance", "view_operation")).call("GET", path, expect=200)
        for secret in (instance.superadmin_password, instance.admin_initial_password, instance.secret_key):
            assert secret.encode() not in answer.content
    answer = Api(make_user("view_instance", "view_credentials")).call("GET", f"/instances/{instance.pk}", expect=200)
    assert instance.superadmin_password.encode() in answer.content
    assert instance.secret_key.encode() not in answer.content


@pytest.mark.django_db
def test_a_session_reads_and_writes_with_its_token() -> None:
    instance = make_installed()
    client = Client(enforce_csrf_checks=True)
    assert client.login(username=make_user("view_instance", "change_instance").get_username(), password=PASSWORD)
    path = f"/api/instances/{instance.pk}"
    sent = json.dumps(resource("instances", {"state": "stopped"}, id=instance.pk))
    assert client.get(path).status_code == 200
    refused: Any = client.patch(path, sent, content_type=JSON_API)
    assert refused.status_code == 403
    assert "CSRF" in json.loads(refused.content)["errors"][0]["detail"]
    assert not instance.operations.exists()
    client.get("/admin/login/")
    token = "a" * 32
    client.cookies["multiinstance_csrf"] = token
    allowed = client.patch(path, sent, content_type=JSON_API, headers={"x-csrftoken": token})
    assert allowed.status_code == 200
    assert Instance.objects.get().operations.count() == 1
