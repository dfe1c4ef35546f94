"""GET of instances: lists, pages, filters, and what they cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.choices import HostKind, OperationKind, Outcome, State, StepStatus
from instances.models import Instance, OperationStep
from tests.api.client import JSON_API, LEGACY, Api
from tests.factories import (
    make_blob,
    make_domain,
    make_host,
    make_installed,
    make_instance,
    make_operation,
    make_version,
)

ATTRIBUTES = {
    "slug",
    "parent_domain",
    "db",
    "mode",
    "event_name",
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
}
"""The seed's."""


def slugs(answer: Any) -> list[str]:
    return [found["attributes"]["slug"] for found in answer["data"]]


def make_busy(count: int) -> None:
    """Instances of different hosts, domains and versions, each with a logo and an operation with steps."""
    for _ in range(count):
        instance = make_installed(projector_logo=make_blob(), port=None)
        operation = make_operation(instance=instance, kind=OperationKind.STOP)
        OperationStep.objects.bulk_create(
            OperationStep(operation=operation, position=position, name="step") for position in (1, 2, 3)
        )
        make_operation(instance=instance, status=Outcome.FAILED, finished_at=timezone.now())


def test_it_has_every_attribute_of_the_seed(api: Api) -> None:
    make_instance()
    found = api.get("/instances", accept=LEGACY)["data"][0]
    assert set(found["attributes"]) >= ATTRIBUTES
    assert isinstance(found["id"], str)
    assert found["type"] == "instances"


@pytest.mark.parametrize("path", ["/instances", "/instances/", "/instances/{id}", "/instances/{id}/"])
@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (JSON_API, JSON_API),
        (LEGACY, "application/vnd.app+json"),
        ("application/json", "application/json"),
        ("*/*", JSON_API),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
    ],
)
def test_the_same_document_is_given_in_the_format_that_is_asked_for(
    api: Api, path: str, accept: str, given: str
) -> None:
    instance = make_instance()
    answer = api.call("GET", path.format(id=instance.pk), accept=accept, expect=200)
    found = json.loads(answer.content)["data"]
    assert answer["Content-Type"] == given
    assert (found[0] if isinstance(found, list) else found)["id"] == instance.pk


def test_another_format_is_not_acceptable(api: Api) -> None:
    answer = api.call("GET", "/instances", accept="image/png", expect=406)
    assert json.loads(answer.content)["errors"][0]["status"] == "406"


@pytest.mark.parametrize("query", ["", "?include=operation,osversion,osdomain,host", "?page[size]=1000"])
def test_a_list_costs_the_same_number_of_queries_whatever_its_length(api: Api, query: str) -> None:
    counts = []
    for more in (3, 27):
        make_busy(more)
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(f"/instances{query}")["data"]) == Instance.objects.count()
        counts.append(len(queries) - 1)
    assert counts[0] == counts[1] <= 8


def test_one_instance_costs_few_queries(api: Api) -> None:
    make_busy(1)
    identity = Instance.objects.get().pk
    with CaptureQueriesContext(connection) as queries:
        api.get(f"/instances/{identity}")
    assert len(queries) <= 5


def test_the_running_operation_and_its_progress_are_shown(api: Api) -> None:
    operation = make_operation(status=Outcome.RUNNING)
    for position, status in enumerate((StepStatus.DONE, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.WAITING)):
        OperationStep.objects.create(operation=operation, position=position, name="step", status=status)
    found = api.get("/instances")["data"][0]
    assert found["attributes"]["progress"] == 25
    assert found["relationships"]["operation"]["data"] == {"type": "operations", "id": str(operation.pk)}


def test_without_an_operation_there_is_no_progress(api: Api) -> None:
    make_installed()
    found = api.get("/instances")["data"][0]
    assert found["attributes"]["progress"] is None
    assert found["relationships"]["operation"]["data"] is None


def test_the_address_is_shown_once_there_is_one(api: Api) -> None:
    make_installed(slug="with", port=23456)
    make_installed(slug="without")
    found = {one["attributes"]["slug"]: one["attributes"]["url"] for one in api.get("/instances")["data"]}
    assert ":23456/" in found["with"]
    assert found["without"] == ""


def test_a_host_that_this_installation_cannot_look_after_is_no_failure(api: Api) -> None:
    make_installed(host=make_host(kind=HostKind.SYSTEMD))
    assert api.get("/instances")["data"][0]["attributes"]["url"] == ""


def test_lists_come_in_pages(api: Api) -> None:
    for _ in range(3):
        make_instance()
    first = api.get("/instances?page[size]=2&sort=slug")
    second = api.get("/instances?page[size]=2&sort=slug&page[number]=2")
    assert first["meta"]["pagination"] == {"page": 1, "pages": 2, "count": 3}
    assert (len(first["data"]), len(second["data"])) == (2, 1)
    assert not set(slugs(first)) & set(slugs(second))
    assert "page%5Bnumber%5D=2" in first["links"]["next"]


def test_the_seeds_client_gets_all_without_asking_for_a_page(api: Api) -> None:
    domain, host, version = make_domain(), make_host(), make_version()
    Instance.objects.bulk_create(
        Instance(slug=f"a{number}", domain=domain, host=host, version=version) for number in range(101)
    )
    assert len(api.get("/instances")["data"]) == 100
    assert len(api.get("/instances", accept=LEGACY)["data"]) == 101
    assert len(api.get("/instances?page[size]=5", accept=LEGACY)["data"]) == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter[slug]=one", ["one"]),
        ("filter[slug]=nothing", []),
        ("filter[state]=active", ["one"]),
        ("filter[state]=sleeping", ["two"]),
        ("filter[state]=unknown", ["lost"]),
        ("filter[state]=new", ["new"]),
        ("filter[parent_domain]=one.example.org", ["one"]),
        ("filter[search]=assembly", ["one"]),
        ("filter[search]=two.example", ["two"]),
        ("filter[search]=one+annual", ["one"]),
        ("filter[search]=100%25", []),
        ("filter[state]=active&filter[slug]=two", []),
        ("sort=slug", ["lost", "new", "one", "two"]),
        ("sort=-slug", ["two", "one", "new", "lost"]),
        ("sort=-parent_domain,slug&filter[search]=example", ["two", "one"]),
    ],
)
def test_filters_and_order(api: Api, query: str, found: list[str]) -> None:
    host, version = make_host(), make_version()
    one, two, other = (make_domain(domain=name) for name in ("one.example.org", "two.example.org", "other.test"))
    make_installed(slug="one", host=host, domain=one, version=version, event_name="Annual assembly")
    make_installed(slug="two", host=host, domain=two, version=version, observed_state=State.SLEEPING)
    make_installed(slug="lost", host=make_host(last_seen=None), domain=other, version=version)
    make_instance(slug="new", host=host, domain=other, version=version)
    make_installed(slug="gone", host=host, domain=one, version=version, removed_at=timezone.now())
    answer = api.get(f"/instances?{query}")
    assert (slugs(answer) if "sort" in query else sorted(slugs(answer))) == found


def test_filtering_by_version(api: Api) -> None:
    one, other = make_installed(), make_installed()
    assert slugs(api.get(f"/instances?filter[osversion]={one.version_id}")) == [one.slug]
    assert slugs(api.get(f"/instances?filter[host]={other.host_id}")) == [other.slug]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("filter[colour]=red", "filter[colour]"),
        ("filter[slug]=", "filter[slug]"),
        ("filter[state]=asleep", "filter[state]"),
        ("filter[osversion]=one", "filter[osversion]"),
        ("filter[osversion]=" + "9" * 40, "filter[osversion]"),
        ("filter[slug]=a%00b", "filter[slug]"),
        ("filter[search]=a%00b", "filter[search]"),
        ("filter=x", "filter"),
        ("filter[slug]=a&filter[slug]=b", "filter[slug]"),
        ("sort=superadmin_password", "sort"),
        ("sort=", "sort"),
        ("sort=slug,,", "sort"),
        ("page[number]=0", "page[number]"),
        ("page[number]=-1", "page[number]"),
        ("page[number]=one", "page[number]"),
        ("page[number]=" + "9" * 5000, "page[number]"),
        ("page[size]=0", "page[size]"),
        ("page[size]=x", "page[size]"),
        ("colour=red", "colour"),
        ("page[colour]=1", "page[colour]"),
        ("include=colour", "include"),
        ("include=operation.instance", "include"),
        ("include=osversion,,host", "include"),
    ],
)
def test_a_wrong_parameter_is_refused_and_named(api: Api, query: str, parameter: str) -> None:
    error = api.get(f"/instances?{query}", expect=400)["errors"][0]
    assert error["source"] == {"parameter": parameter}
    assert error["detail"]


def test_a_page_behind_the_last_is_not_found(api: Api) -> None:
    assert api.get("/instances?page[number]=2", expect=404)["errors"][0]["status"] == "404"


def test_related_resources_come_along_when_asked_for(api: Api) -> None:
    operation = make_operation(status=Outcome.RUNNING)
    OperationStep.objects.create(operation=operation, position=1, name="unpack", output="42 files")
    answer = api.get("/instances?include=osversion,osdomain,host,operation")
    included = {found["type"]: found for found in answer["included"]}
    assert set(included) == {"osversions", "osdomains", "hosts", "operations"}
    assert included["operations"]["attributes"]["steps"][0]["output"] == "42 files"


def test_only_the_attributes_that_are_asked_for_are_given(api: Api) -> None:
    make_instance(slug="one")
    found = api.get("/instances?fields[instances]=slug,state")["data"][0]
    assert found["attributes"] == {"slug": "one", "state": "new"}
    assert "relationships" not in found


@pytest.mark.parametrize("identity", ["0" * 32, "1", "x" * 500, "a%00b", "%ED%A0%80", "..", "a b", "9" * 400, "ä", "%"])
def test_an_id_that_there_is_not_is_not_found(api: Api, identity: str) -> None:
    error = api.get(f"/instances/{identity}", expect=404)["errors"][0]
    assert error["status"] == "404"
