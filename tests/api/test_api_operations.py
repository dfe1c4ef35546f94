"""operations and hosts: read only, with steps, filters, and a constant cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.choices import OperationKind, Origin, Outcome, StepStatus
from instances.models import Operation, OperationStep
from tests.api.client import Api
from tests.factories import make_host, make_installed, make_operation, make_user, make_version


def make_steps(operation: Operation) -> None:
    OperationStep.objects.bulk_create(
        OperationStep(
            operation=operation,
            position=position,
            name=name,
            status=status,
            seconds=seconds,
            output=f"{name} says\n",
            started_at=timezone.now(),
        )
        for position, (name, status, seconds) in enumerate(
            [("unpack", StepStatus.DONE, 0.5), ("start", StepStatus.FAILED, 2.25)], start=1
        )
    )


@pytest.mark.parametrize("path", ["/operations", "/operations/{id}", "/operations/{id}/"])
def test_an_operation_is_shown_with_its_steps(api: Api, path: str) -> None:
    user = make_user()
    now = timezone.now()
    operation = make_operation(
        status=Outcome.FAILED,
        started_at=now - timedelta(seconds=3),
        finished_at=now,
        error="It did not answer.",
        failed_step="start",
        requested_by=user,
        requested_via=Origin.ADMIN,
    )
    make_steps(operation)
    answer = api.get(path.format(id=operation.pk))["data"]
    found = answer[0] if isinstance(answer, list) else answer
    attributes = found["attributes"]
    assert {
        name: attributes[name]
        for name in ("kind", "status", "progress", "error", "failed_step", "seconds", "requested_by", "requested_via")
    } == {
        "kind": "start",
        "status": "failed",
        "progress": 50,
        "error": "It did not answer.",
        "failed_step": "start",
        "seconds": 3.0,
        "requested_by": user.get_username(),
        "requested_via": "admin",
    }
    steps = [{name: step[name] for name in ("name", "status", "seconds", "output")} for step in attributes["steps"]]
    assert steps == [
        {"name": "unpack", "status": "done", "seconds": 0.5, "output": "unpack says\n"},
        {"name": "start", "status": "failed", "seconds": 2.25, "output": "start says\n"},
    ]
    assert found["relationships"]["instance"]["data"] == {"type": "instances", "id": operation.instance_id}
    assert found["relationships"]["osversion"]["data"] is None
    assert found["relationships"]["host"]["data"] == {"type": "hosts", "id": str(operation.host_id)}


def test_one_that_the_system_asked_for_names_nobody(api: Api) -> None:
    make_operation()
    assert api.get("/operations")["data"][0]["attributes"]["requested_by"] is None


def test_the_newest_comes_first(api: Api) -> None:
    ids = [str(make_operation().pk) for _ in range(3)]
    assert [found["id"] for found in api.get("/operations")["data"]] == ids[::-1]
    assert [found["id"] for found in api.get("/operations?sort=id")["data"]] == ids


def test_operations_are_filtered(api: Api) -> None:
    instance, version = make_installed(), make_version()
    start = str(make_operation(instance=instance).pk)
    prepare = str(make_operation(kind=OperationKind.PREPARE, version=version).pk)
    done = str(make_operation(kind=OperationKind.STOP, status=Outcome.SUCCEEDED, finished_at=timezone.now()).pk)

    def found(query: str) -> list[str]:
        return [one["id"] for one in api.get(f"/operations?sort=id&{query}")["data"]]

    assert found(f"filter[instance]={instance.pk}") == [start]
    assert found(f"filter[osversion]={version.pk}") == [prepare]
    assert found("filter[status]=queued") == [start, prepare]
    assert found("filter[kind]=stop") == [done]
    assert found("filter[instance]=unknown") == []
    assert found(f"filter[search]={instance.slug}") == [start]


@pytest.mark.parametrize("parameter", ["filter[status]", "filter[kind]", "filter[osversion]", "filter[host]"])
def test_a_value_that_cannot_be_filtered_by_is_refused(api: Api, parameter: str) -> None:
    assert api.get(f"/operations?{parameter}=x", expect=400)["errors"][0]["source"] == {"parameter": parameter}


@pytest.mark.parametrize("query", ["", "?include=instance,osversion,host"])
def test_a_list_costs_the_same_number_of_queries_whatever_its_length(api: Api, query: str) -> None:
    counts = []
    for more in (3, 27):
        for _ in range(more):
            make_steps(make_operation(requested_by=make_user()))
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(f"/operations{query}")["data"]) == Operation.objects.count()
        counts.append(len(queries) - 1)
    assert counts[0] == counts[1] <= 8


def test_hosts_are_shown(api: Api) -> None:
    host = make_host(name="alpha", capacity=7)
    make_host(name="beta", last_seen=None)
    found = api.get("/hosts?sort=name")["data"]
    assert [one["attributes"]["name"] for one in found] == ["alpha", "beta"]
    assert [one["attributes"]["heard"] for one in found] == [True, False]
    assert found[0]["attributes"]["capacity"] == 7
    assert api.get(f"/hosts/{host.pk}/")["data"]["type"] == "hosts"


def test_the_root_says_where_to_find_what(api: Api) -> None:
    for path in ("", "/"):
        links = api.get(path)["links"]
        assert set(links) == {
            "instances",
            "osversions",
            "osdomains",
            "operations",
            "rollouts",
            "orphans",
            "backups",
            "hosts",
            "blobs",
            "locks",
            "audit",
        }
        assert links["instances"] == "http://testserver/api/instances"
