"""Whatever is sent, the answer is a JSON:API error that says what is wrong: never a 500, never HTML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import SuspiciousOperation
from django.test import RequestFactory, override_settings
from django.urls import get_resolver

from instances.models import Domain, Host, Instance, Operation, Version
from tests.api.client import JSON_API, Api
from tests.factories import make_domain, make_host, make_installed, make_version

DEEP = b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_OBJECT = b'{"data":' + b'{"attributes":' * 5_000 + b"1" + b"}" * 5_000 + b"}"
SURROGATE = b'"\\ud800"'
TYPES = ("instances", "osversions", "osdomains")

BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" ",
    "no JSON": b"slug=assembly",
    "half": b'{"data": {"type": "TYPE"',
    "NaN": b'{"data": {"type": "TYPE", "attributes": {"slug": NaN}}}',
    "infinity": b'{"data": {"type": "TYPE", "attributes": {"slug": -Infinity}}}',
    "not UTF-8": b'{"data": {"type": "TYPE", "attributes": {"slug": "\xff"}}}',
    "UTF-16": '{"data": {"type": "TYPE"}}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"data": {"type": "TYPE"}}',
    "null": b"null",
    "number": b"5",
    "text": b'"instances"',
    "list": b"[]",
    "list of documents": b'[{"data": {"type": "TYPE"}}]',
    "no data": b"{}",
    "data null": b'{"data": null}',
    "data list": b'{"data": [{"type": "TYPE"}]}',
    "data text": b'{"data": "x"}',
    "data number": b'{"data": 7}',
    "errors instead": b'{"errors": []}',
    "no type": b'{"data": {"attributes": {"slug": "x"}}}',
    "type null": b'{"data": {"type": null}}',
    "type list": b'{"data": {"type": ["TYPE"]}}',
    "type object": b'{"data": {"type": {}}}',
    "unknown type": b'{"data": {"type": "unicorns", "attributes": {}}}',
    "another type": b'{"data": {"type": "operations", "attributes": {}}}',
    "surrogate as type": b'{"data": {"type": ' + SURROGATE + b"}}",
    "id number": b'{"data": {"type": "TYPE", "id": 1, "attributes": {}}}',
    "id list": b'{"data": {"type": "TYPE", "id": [], "attributes": {}}}',
    "another id": b'{"data": {"type": "TYPE", "id": "4711", "attributes": {}}}',
    "surrogate as id": b'{"data": {"type": "TYPE", "id": ' + SURROGATE + b"}}",
    "attributes null": b'{"data": {"type": "TYPE", "id": "ID", "attributes": null}}',
    "attributes list": b'{"data": {"type": "TYPE", "id": "ID", "attributes": []}}',
    "attributes text": b'{"data": {"type": "TYPE", "id": "ID", "attributes": "slug"}}',
    "relationships list": b'{"data": {"type": "TYPE", "id": "ID", "relationships": []}}',
    "relationship null": b'{"data": {"type": "TYPE", "id": "ID", "relationships": {"osversion": null}}}',
    "relationship text": b'{"data": {"type": "TYPE", "id": "ID", "relationships": {"osversion": "1"}}}',
    "relationship list": b'{"data": {"type": "TYPE", "id": "ID", "relationships": {"osversion": []}}}',
    "relationship without data": b'{"data": {"type": "TYPE", "id": "ID", "relationships": {"osversion": {}}}}',
    "attribute called id": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"id": "1"}}}',
    "attribute called type": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"type": "1"}}}',
    "NUL in an attribute": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"slug": "a\\u0000b"}}}',
    "NUL in a name": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"a\\u0000": 1}}}',
    "surrogate in an attribute": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"name": ' + SURROGATE + b"}}}",
    "surrogate in a name": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {' + SURROGATE + b": 1}}}",
    "surrogate deep inside": b'{"data": {"type": "TYPE", "id": "ID", "meta": [[{"a": ' + SURROGATE + b"}]]}}",
    "number of 5,000 digits": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"slug": ' + b"9" * 5000 + b"}}}",
    "deep lists": DEEP,
    "deep objects": DEEP_OBJECT,
    "two megabytes": b'{"data": {"type": "TYPE", "id": "ID", "attributes": {"slug": "' + b"x" * 2_000_000 + b'"}}}',
}


@pytest.fixture
def identities(api: Api) -> dict[str, str]:
    """The id of one resource of each type that can be written."""
    version, domain = make_version(), make_domain()
    instance = make_installed(version=version, domain=domain, host=make_host())
    return {"instances": instance.pk, "osversions": str(version.pk), "osdomains": str(domain.pk)}


def rows() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (Instance, Version, Domain, Host, Operation)]


def is_refused(answer: Any, *statuses: int) -> list[Any]:
    """The errors of an answer that must be a complete JSON:API refusal."""
    assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.content[:500]!r}"
    assert not statuses or answer.status_code in statuses
    assert answer["Content-Type"] == JSON_API
    document = json.loads(answer.content)
    assert set(document) == {"errors"}
    for error in document["errors"]:
        assert error["status"] == str(answer.status_code)
        assert error["code"]
        assert error["title"]
        assert error["detail"]
    assert document["errors"]
    return list(document["errors"])


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_document_is_refused(
    api: Api, identities: dict[str, str], name: str, kind: str, method: str
) -> None:
    before = rows()
    body = BODIES[name].replace(b"TYPE", kind.encode())
    if method == "PATCH":
        path, body = f"/{kind}/{identities[kind]}", body.replace(b"ID", identities[kind].encode())
    else:
        path, body = f"/{kind}", body.replace(b'"id": "ID", ', b"")
    is_refused(api.call(method, path, body=body))
    assert rows() == before


@pytest.mark.parametrize("value", [None, "", [], {}, 5, -1, 2**70, 1.5, True, "x" * 100_000, ["x"], {"x": {}}])
@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("osversions", "name"),
        ("osversions", "image"),
        ("osversions", "engine"),
        ("osdomains", "domain"),
        ("instances", "slug"),
    ],
)
def test_a_wrong_type_of_value_is_refused_at_its_attribute(
    api: Api, identities: dict[str, str], kind: str, attribute: str, value: Any
) -> None:
    before = rows()
    attributes = {"name": "3.4", "image": "pypi:openslides==3.4", "domain": "x.example.org", "slug": "x"}
    sent = {"data": {"type": kind, "attributes": {**attributes, attribute: value}}}
    errors = is_refused(api.call("POST", f"/{kind}", sent), 422)
    assert f"/data/attributes/{attribute}" in {error["source"]["pointer"] for error in errors}
    assert rows() == before


@pytest.mark.parametrize("kind", TYPES)
def test_another_types_endpoint_is_a_conflict(api: Api, kind: str) -> None:
    errors = is_refused(api.call("POST", f"/{kind}", {"data": {"type": "hosts"}}), 409)
    assert errors[0]["source"]["pointer"] == "/data/type"


@pytest.mark.parametrize("kind", TYPES)
def test_a_document_about_something_else_is_a_conflict(api: Api, identities: dict[str, str], kind: str) -> None:
    sent = {"data": {"type": kind, "id": "4711", "attributes": {}}}
    errors = is_refused(api.call("PATCH", f"/{kind}/{identities[kind]}", sent), 409)
    assert errors[0]["source"]["pointer"] == "/data/id"


@pytest.mark.parametrize("kind", TYPES)
def test_an_id_chosen_by_the_client_is_refused(api: Api, kind: str) -> None:
    is_refused(api.call("POST", f"/{kind}", {"data": {"type": kind, "id": "1", "attributes": {}}}), 403)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "x" * 999]
)
@pytest.mark.parametrize("kind", TYPES)
def test_another_format_of_the_body_is_refused(api: Api, kind: str, content_type: str) -> None:
    is_refused(api.call("POST", f"/{kind}", body=b'{"data": {}}', content_type=content_type), 415)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/instances"),
        ("PATCH", "/instances"),
        ("DELETE", "/instances"),
        ("POST", "/instances/{instances}"),
        ("PUT", "/instances/{instances}"),
        ("OPTIONS", "/instances"),
        ("TRACE", "/instances"),
        ("BREW", "/instances"),
        ("POST", "/operations/1"),
        ("DELETE", "/operations/1"),
        ("POST", "/hosts"),
        ("PATCH", "/hosts/1"),
        ("GET", "/osversions/{osversions}/prepare"),
        ("GET", "/blobs"),
        ("DELETE", "/blobs/x"),
        ("POST", ""),
        ("POST", "/"),
    ],
)
def test_a_method_that_there_is_not_is_refused(api: Api, identities: dict[str, str], method: str, path: str) -> None:
    answer = api.call(method, path.format(**identities))
    is_refused(answer, 405)
    assert answer["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/unicorns",
        "/unicorns/",
        "/instances/x/y",
        "/instances//",
        "/instances/1/prepare",
        "/osversions/0",
        "/osversions/" + "9" * 30,
        "/osversions/one",
        "/osversions/-1",
        "/osversions/1.0",
        "/osversions/%D9%A1",
        "/osversions/1%00",
        "/osdomains/x",
        "/operations/0",
        "/operations/%ED%A0%80",
        "/hosts/99999999999999999999",
        "/blobs/" + "x" * 20,
        "/blobs/..%2F..%2Fdb.sqlite3",
        "/blobs/a%00b",
        "/%00",
        "/" + "x" * 5000,
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_address_that_there_is_not_is_not_found(api: Api, path: str, slash: str) -> None:
    is_refused(api.call("GET", path + slash), 404)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_there_is_not_cannot_be_changed(api: Api, kind: str, method: str) -> None:
    is_refused(api.call(method, f"/{kind}/4711", {"data": {"type": kind, "id": "4711"}}), 404)
    is_refused(api.call("POST", "/osversions/4711/prepare"), 404)


def test_a_host_header_that_is_not_ours_is_refused_in_json(api: Api) -> None:
    answer = api.client.get("/api/instances", headers={**api.headers, "host": "elsewhere.example.org"})
    is_refused(answer, 400)


def test_pages_outside_of_the_api_are_pages(api: Api) -> None:
    answer = api.client.get("/nowhere")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_what_django_answers_by_itself_is_json_below_api_and_a_page_elsewhere(status: int) -> None:
    handler = get_resolver().resolve_error_handler(status)
    exception = () if status == 500 else (SuspiciousOperation("secret detail"),)
    answer = handler(RequestFactory().get("/api/instances"), *exception)
    assert (answer.status_code, answer["Content-Type"]) == (status, JSON_API)
    assert json.loads(answer.content)["errors"][0]["status"] == str(status)
    assert b"secret" not in answer.content
    assert handler(RequestFactory().get("/apiary"), *exception)["Content-Type"].startswith("text/html")


def test_a_lost_key_says_what_to_do(api: Api) -> None:
    make_installed()
    with override_settings(FIELD_ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        answer = api.get("/instances", expect=503)
    assert "FIELD_ENCRYPTION_KEYS" in answer["errors"][0]["detail"]
