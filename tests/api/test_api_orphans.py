"""Orphans over the API: read, and removed by their host."""

from __future__ import annotations

import pytest
from django.utils import timezone

from instances.choices import OrphanKind
from instances.models import Host, Orphan
from tests.api.client import Api
from tests.factories import make_host, make_installed, make_user


@pytest.fixture
def orphan(host: Host) -> Orphan:
    gone = make_installed(host=host, removed_at=timezone.now())
    return Orphan.objects.create(host=host, kind=OrphanKind.DATABASE, name=f"openslides_{gone.pk}", instance_id=gone.pk)


def test_they_are_listed_with_the_instance_that_they_were_made_for(api: Api, orphan: Orphan) -> None:
    Orphan.objects.create(host=orphan.host, kind=OrphanKind.ROLE, name="role", instance_id="b" * 32)
    first, second = api.get("/orphans?sort=id&include=host")["data"]
    assert (first["type"], first["id"]) == ("orphans", str(orphan.pk))
    attributes = first["attributes"]
    assert (attributes["kind"], attributes["name"]) == ("database", orphan.name)
    assert attributes["instance_id"] == orphan.instance_id
    assert attributes["made_for"] is not None
    assert second["attributes"]["made_for"] is None
    assert first["relationships"]["host"]["data"]["id"] == str(orphan.host_id)
    assert api.get(f"/orphans/{orphan.pk}")["data"]["attributes"] == attributes


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("filter[kind]=database", 1),
        ("filter[kind]=role", 0),
        ("filter[search]=openslides_", 1),
        ("filter[instance]=" + "c" * 32, 0),
    ],
)
def test_they_are_found_by_filters(api: Api, orphan: Orphan, query: str, count: int) -> None:
    make_host()
    assert len(api.get(f"/orphans?{query}")["data"]) == count
    assert len(api.get(f"/orphans?filter[host]={orphan.host_id}")["data"]) == 1


def test_to_delete_one_is_to_let_its_host_remove_it(api: Api, orphan: Orphan) -> None:
    answer = api.call("DELETE", f"/orphans/{orphan.pk}", expect=202)
    attributes = answer.json()["data"]["attributes"]
    assert attributes["removal_asked_at"] is not None
    assert attributes["removal_asked_by"] == "superuser"
    assert Orphan.objects.get().removal_asked_by is not None
    api.call("DELETE", f"/orphans/{orphan.pk}", expect=202)
    orphan.delete()
    api.call("DELETE", "/orphans/1", expect=404)


def test_each_way_needs_its_permission(orphan: Orphan) -> None:
    path = f"/orphans/{orphan.pk}"
    for method, needed, other in (("GET", "view_orphan", "delete_orphan"), ("DELETE", "delete_orphan", "view_orphan")):
        Api().call(method, path, expect=401)
        Api(make_user(other)).call(method, path, expect=403)
        assert Api(make_user(needed)).call(method, path).status_code in (200, 202)


def test_nobody_makes_or_changes_one(api: Api, orphan: Orphan) -> None:
    api.call("POST", "/orphans", expect=405)
    api.call("PATCH", f"/orphans/{orphan.pk}", expect=405)
