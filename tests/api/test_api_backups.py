"""backups: lists, the archive, and what makes operations of them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import archives
from instances.choices import BackupReason, Desired, OperationKind, Origin, Outcome
from instances.models import Backup, Domain, Instance, Operation
from tests.api.client import Api, pointers, resource
from tests.factories import make_backup, make_domain, make_host, make_installed, make_operation, make_user, make_version

CONTENT = b"archive" * 100_000


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = tmp_path / "backups"
    return tmp_path / "backups"


@pytest.fixture
def removed(db: None) -> Instance:
    return make_installed(removed_at=timezone.now(), desired_state=Desired.REMOVED)


def stored(**values: Any) -> Backup:
    """With its archive."""
    backup = make_backup(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), **values)
    with archives.store().write(backup.name) as stream:
        stream.write(CONTENT)
    return backup


def test_a_backup_is_shown(api: Api, removed: Instance) -> None:
    backup = make_backup(instance=removed, reason=BackupReason.REMOVE, created_by=make_user(username="anna"))
    found = api.get(f"/backups/{backup.pk}")["data"]
    attributes = found["attributes"]
    assert found["type"] == "backups"
    assert {
        name: attributes[name] for name in ("slug", "parent_domain", "reason", "complete", "size", "created_by")
    } == {
        "slug": removed.slug,
        "parent_domain": removed.domain.domain,
        "reason": "remove",
        "complete": True,
        "size": 1_234_567,
        "created_by": "anna",
    }
    assert attributes["removed_at"] is not None
    assert attributes["archive"] == f"http://testserver/api/backups/{backup.pk}/archive"
    assert found["relationships"]["instance"]["data"] == {"type": "instances", "id": removed.pk}
    assert found["relationships"]["operation"]["data"] is None


def test_backups_are_filtered(api: Api, removed: Instance) -> None:
    first, gone = str(make_backup().pk), str(make_backup(instance=removed, reason=BackupReason.REMOVE).pk)
    begun = str(make_backup(completed_at=None).pk)

    def found(query: str) -> list[str]:
        return [one["id"] for one in api.get(f"/backups?sort=id&{query}")["data"]]

    assert found("filter[removed]=true") == [gone]
    assert found("filter[complete]=false") == [begun]
    assert found("filter[reason]=remove") == [gone]
    assert found(f"filter[instance]={removed.pk}") == [gone]
    assert found(f"filter[search]={Backup.objects.get(pk=first).instance.slug}") == [first]


@pytest.mark.parametrize("query", ["", "?include=instance,osversion,host,operation"])
def test_a_list_costs_the_same_number_of_queries_whatever_its_length(api: Api, query: str) -> None:
    counts = []
    for more in (3, 27):
        for _ in range(more):
            backup = make_backup()
            make_operation(kind=OperationKind.VERIFY, backup=backup, version=backup.version, host=backup.host)
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(f"/backups{query}")["data"]) == Backup.objects.count()
        counts.append(len(queries) - 1)
    assert counts[0] == counts[1] <= 12


def test_a_backup_is_asked_for(api: Api) -> None:
    instance = make_installed()
    document = resource("backups", relationships={"instance": {"data": {"type": "instances", "id": instance.pk}}})
    found = api.post("/backups", document)["data"]
    operation = Operation.objects.get()
    assert found["relationships"]["operation"]["data"] == {"type": "operations", "id": str(operation.pk)}
    assert (operation.kind, operation.requested_via, operation.backup) == ("backup", Origin.API, Backup.objects.get())
    assert not found["attributes"]["complete"]
    assert api.post("/backups", document, expect=409)["errors"][0]["code"] == "operation_running"
    assert Backup.objects.count() == 1


@pytest.mark.parametrize("data", [None, {"type": "instances", "id": "unknown"}, {"type": "hosts", "id": "1"}, []])
def test_a_backup_of_what_there_is_not_is_refused(api: Api, data: Any) -> None:
    answer = api.post("/backups", resource("backups", relationships={"instance": {"data": data}}), expect=422)
    assert pointers(answer) == ["/data/attributes/instance"]


def test_the_archive_is_downloaded_as_it_is(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    backup = stored()
    answer: Any = api.call("GET", f"/backups/{backup.pk}/archive", expect=200, accept="*/*")
    assert b"".join(answer.streaming_content) == CONTENT
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "application/x-tar"
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert f'filename="{backup.instance}-' in answer.headers["Content-Disposition"]
    head = api.call("HEAD", f"/backups/{backup.pk}/archive", expect=200, accept="*/*")
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(CONTENT)))


def test_an_archive_that_is_not_there_is_named(api: Api) -> None:
    lost, begun = make_backup(), make_backup(completed_at=None)
    answer = api.get(f"/backups/{lost.pk}/archive", expect=404)
    assert answer["errors"][0]["code"] == "archive_missing"
    assert lost.name in answer["errors"][0]["detail"]
    assert api.get(f"/backups/{begun.pk}/archive", expect=409)["errors"][0]["code"] == "backup_unusable"
    for nothing in ("0", "x", "9" * 30):
        api.get(f"/backups/{nothing}/archive", expect=404)


def test_a_backup_is_deleted_with_its_archive(api: Api) -> None:
    backup = stored()
    operation = make_operation(
        kind=OperationKind.VERIFY, backup=backup, version=backup.version, host=backup.host, instance=None
    )
    assert api.delete(f"/backups/{backup.pk}", expect=409)["errors"][0]["code"] == "backup_in_use"
    Operation.objects.filter(pk=operation.pk).update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    api.delete(f"/backups/{backup.pk}")
    assert archives.store().names() == []
    assert not Backup.objects.exists()


def test_when_the_store_fails_the_backup_stays(api: Api, settings: Any, tmp_path: Path) -> None:
    backup = stored()
    (tmp_path / "file").touch()
    settings.BACKUP_DIR = tmp_path / "file"
    answer = api.delete(f"/backups/{backup.pk}", expect=503)
    assert answer["errors"][0]["code"] == "store_failed"
    assert Backup.objects.get().is_complete


def test_a_restore_is_an_operation(api: Api) -> None:
    backup = stored()
    found = api.post(f"/backups/{backup.pk}/restore", None, expect=202)["data"]
    operation = Operation.objects.get()
    assert (found["type"], found["id"], found["attributes"]["kind"]) == ("operations", str(operation.pk), "restore")
    assert operation.backup == backup
    assert operation.safety_backup is not None


def test_a_restore_can_do_without_a_backup_of_the_present_data(api: Api) -> None:
    document = resource("operations", {"safety": False})
    api.post(f"/backups/{stored().pk}/restore", document, expect=202)
    assert Operation.objects.get().safety_backup is None


def test_a_verification_is_an_operation(api: Api) -> None:
    found = api.post(f"/backups/{stored().pk}/verify/", None, expect=202)["data"]
    assert found["attributes"]["kind"] == "verify"


@pytest.mark.parametrize("source", ["instance", "backup"])
def test_a_clone_is_a_new_instance(api: Api, domain: Domain, source: str) -> None:
    backup = stored()
    original = backup.instance
    path = f"/instances/{original.pk}/clone" if source == "instance" else f"/backups/{backup.pk}/clone"
    found = api.post(path, resource("instances", {"slug": "copy", "parent_domain": "localhost"}))["data"]
    copy = Instance.objects.get(slug="copy")
    assert (found["type"], found["id"], found["attributes"]["parent_domain"]) == ("instances", copy.pk, "localhost")
    creation = Operation.objects.get(instance=copy)
    assert (copy.version, copy.event_name) == (original.version, original.event_name)
    assert (creation.backup == backup) == (source == "backup")


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"slug": "Not a name"}, "/data/attributes/slug"),
        ({}, "/data/attributes/slug"),
        ({"slug": "copy", "parent_domain": "nowhere.example"}, "/data/attributes/parent_domain"),
        ({"slug": "taken"}, "/data/attributes/slug"),
    ],
)
def test_a_clone_that_cannot_be_called_so_is_refused(api: Api, attributes: dict[str, str], pointer: str) -> None:
    backup = stored(instance=make_installed(slug="taken"))
    for path in (f"/instances/{backup.instance_id}/clone", f"/backups/{backup.pk}/clone"):
        assert pointer in pointers(api.post(path, resource("instances", attributes), expect=422))
    assert Instance.objects.count() == 1
    assert Backup.objects.count() == 1


def test_what_was_removed_comes_back(api: Api, removed: Instance) -> None:
    first, second = stored(instance=removed), stored(instance=removed)
    relation = {"backup": {"data": {"type": "backups", "id": str(first.pk)}}}
    found = api.post(f"/instances/{removed.pk}/bring-back", resource("instances", relationships=relation), expect=202)[
        "data"
    ]
    assert found["attributes"]["kind"] == "create"
    assert Operation.objects.get().backup == first
    assert api.get(f"/instances/{removed.pk}")["data"]["attributes"]["slug"] == removed.slug
    assert api.post(f"/instances/{removed.pk}/bring-back", None, expect=409)["errors"][0]["code"] == "not_removed"
    assert second.pk


def test_what_was_removed_cannot_come_back_with_the_data_of_another(api: Api, removed: Instance) -> None:
    stored(instance=removed)
    relation = {"backup": {"data": {"type": "backups", "id": str(stored().pk)}}}
    answer = api.post(f"/instances/{removed.pk}/bring-back", resource("instances", relationships=relation), expect=422)
    assert pointers(answer) == ["/data/attributes/backup"]
    assert not Operation.objects.exists()


def test_without_a_backup_nothing_comes_back(api: Api, removed: Instance) -> None:
    answer = api.post(f"/instances/{removed.pk}/bring-back", None, expect=409)
    assert answer["errors"][0]["code"] == "backup_unusable"


def test_a_purge_is_an_operation(api: Api, removed: Instance) -> None:
    found = api.post(f"/instances/{removed.pk}/purge", None, expect=202)["data"]
    assert found["attributes"]["kind"] == "purge"


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/backups", ["view_backup"]),
        ("POST", "/backups", ["add_backup"]),
        ("GET", "/backups/{backup}/archive", ["download_backup"]),
        ("DELETE", "/backups/{backup}", ["delete_backup"]),
        ("POST", "/backups/{backup}/restore", ["restore_backup"]),
        ("POST", "/backups/{backup}/verify", ["change_backup"]),
        ("POST", "/backups/{backup}/clone", ["add_instance", "restore_backup"]),
        ("POST", "/instances/{instance}/clone", ["add_instance", "restore_backup"]),
        ("POST", "/instances/{instance}/bring-back", ["add_instance", "restore_backup"]),
        ("POST", "/instances/{instance}/purge", ["delete_instance", "purge_instance"]),
    ],
)
def test_each_way_needs_its_permission(db: None, method: str, path: str, needed: list[str]) -> None:
    backup = stored()
    address = path.format(backup=backup.pk, instance=backup.instance_id)
    for index in range(len(needed)):
        Api(make_user(*needed[:index], *needed[index + 1 :], "view_instance")).call(method, address, expect=403)
    Api().call(method, address, expect=401)
    assert Api(make_user(*needed)).call(method, address).status_code not in (401, 403, 500)


def test_what_is_included_needs_its_own_permission(db: None) -> None:
    make_backup()
    Api(make_user("view_backup")).call("GET", "/backups?include=instance", expect=403)
    Api(make_user("view_backup", "view_instance")).call("GET", "/backups?include=instance", expect=200)


def test_ways_that_there_are_not(api: Api) -> None:
    backup = stored()
    for method, path in (("PATCH", ""), ("PUT", ""), ("POST", "/archive"), ("GET", "/restore")):
        api.call(method, f"/backups/{backup.pk}{path}", expect=405)
    assert make_host().pk
    assert make_domain().pk


def test_a_schedule_is_an_attribute_of_the_instance(api: Api) -> None:
    instance = make_installed()
    path = f"/instances/{instance.pk}"
    assert api.get(path)["data"]["attributes"]["backup_hours"] == 0
    api.patch(path, resource("instances", {"backup_hours": 24}, id=instance.pk))
    assert Instance.objects.get().backup_hours == 24
    api.patch(path, resource("instances", {"backup_hours": None}, id=instance.pk))
    assert Instance.objects.get().backup_hours == 24
    for wrong in (5, "daily", [], {}):
        answer = api.patch(path, resource("instances", {"backup_hours": wrong}, id=instance.pk), expect=422)
        assert pointers(answer) == ["/data/attributes/backup_hours"]
    assert not Operation.objects.exists()


def test_an_instance_is_made_with_its_schedule(api: Api, domain: Domain) -> None:
    make_host()
    version = make_version(default=True)
    document = resource("instances", {"slug": "assembly", "backup_hours": 6})
    assert api.post("/instances", document)["data"]["attributes"]["backup_hours"] == 6
    assert Instance.objects.get().version == version
    api.post("/instances", resource("instances", {"slug": "second", "backup_hours": 7}), expect=422)
