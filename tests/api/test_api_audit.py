"""The log of who did what over the API: read by whom may, found by filters, changed by nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import audit, operations
from instances.models import ActionLock
from tests.api.client import Api, resource
from tests.factories import make_backup, make_domain, make_installed, make_operation, make_user


def attributes(answer: Any) -> list[dict[str, Any]]:
    return [found["attributes"] for found in answer["data"]]


def rename(api: Api, name: str) -> str:
    """A domain, renamed over the API; its id."""
    pk = str(make_domain(domain="before.example.org").pk)
    api.patch(f"/osdomains/{pk}", resource("osdomains", {"domain": name}, id=pk))
    return pk


def test_it_says_what_was_done_by_whom_from_where_before_and_after(api: Api) -> None:
    pk = rename(api, "after.example.org")
    newest = api.get("/audit")["data"][0]
    assert newest["type"] == "audit-entries"
    found = newest["attributes"]
    assert (found["action"], found["resource_type"], found["resource_id"]) == ("update", "osdomains", pk)
    assert found["changes"] == {"domain": {"before": "before.example.org", "after": "after.example.org"}}
    assert (found["who"], found["via"], found["remote_address"]) == ("superuser", "api", "127.0.0.1")
    assert api.get(f"/audit/{newest['id']}")["data"]["attributes"] == found


def test_secrets_are_hidden_before_and_after(api: Api) -> None:
    instance = make_installed(superadmin_password="first-word")
    instance.superadmin_password = "second-word"
    instance.save()
    answer = api.call("GET", f"/audit?filter[instance]={instance.pk}", expect=200)
    assert b"-word" not in answer.content
    changed = answer.json()["data"][0]["attributes"]["changes"]
    assert changed["superadmin_password"] == {"before": audit.HIDDEN, "after": audit.HIDDEN}


def test_it_still_names_a_user_whose_account_is_gone(api: Api) -> None:
    ada = get_user_model().objects.create_superuser("ada", password="a-password-for-tests")
    rename(Api(ada), "after.example.org")
    ada.delete()
    assert [found["who"] for found in attributes(api.get("/audit?filter[actor]=ada"))] == ["ada"]


def test_what_changes_no_row_is_said_in_a_note(api: Api) -> None:
    backup = make_backup()
    audit.note(backup, "downloaded")
    found = attributes(api.get("/audit?filter[action]=access"))
    assert [(one["note"], one["resource_type"], one["who"], one["via"]) for one in found] == [
        ("downloaded", "backups", None, "system")
    ]


def test_the_log_of_an_instance_has_its_operations_and_locks(api: Api) -> None:
    instance, other = make_installed(), make_installed()
    operations.stop(instance, operations.SYSTEM)
    ActionLock.objects.create(instance=instance, action="update", reason="The assembly is on")
    operations.stop(other, operations.SYSTEM)
    found = attributes(api.get(f"/audit?filter[instance]={instance.pk}"))
    assert {one["resource_type"] for one in found} == {"instances", "operations", "locks"}
    assert {one["instance_id"] for one in found} == {instance.pk}


def test_it_is_found_by_filters_and_sorted(api: Api) -> None:
    pk = rename(api, "after.example.org")
    LogEntry.objects.exclude(object_pk=pk, action=LogEntry.Action.UPDATE).update(
        timestamp=timezone.now() - timedelta(days=2)
    )
    yesterday = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    for query, actions in (
        ("filter[resource_type]=osdomains", ["update", "create"]),
        ("filter[resource_type]=osdomains&sort=time", ["create", "update"]),
        ("filter[resource_type]=osdomains&page[size]=1&page[number]=2", ["create"]),
        ("filter[action]=update", ["update"]),
        ("filter[actor]=superuser", ["update"]),
        ("filter[actor]=nobody", []),
        ("filter[via]=api", ["update"]),
        (f"filter[resource_type]=osdomains&filter[since]={yesterday}Z", ["update"]),
        (f"filter[resource_type]=osdomains&filter[until]={yesterday}%2B00:00", ["create"]),
        (f"filter[resource_type]=osdomains&filter[until]={yesterday}+00:00", ["create"]),
        ("filter[search]=after.example", ["update"]),
        ("filter[instance]=nosuchinstance", []),
    ):
        assert [found["action"] for found in attributes(api.get(f"/audit?{query}"))] == actions, query


@pytest.mark.parametrize(
    "query",
    [
        "filter[since]=yesterday",
        "filter[since]=2026-11-24T02:00:00",
        "filter[until]=2026-13-99T99:00:00Z",
        "filter[action]=steal",
        "filter[actor]=",
        "filter[instance]=%00",
        "filter[password]=x",
        "sort=password",
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    error = api.get(f"/audit?{query}", expect=400)["errors"][0]
    assert error["source"]["parameter"] == query.partition("=")[0]


def test_it_needs_the_permission_to_view_the_log(api: Api) -> None:
    make_domain()
    user = make_user("view_instance")
    Api().call("GET", "/audit", expect=401)
    Api(user).call("GET", "/audit", expect=403)
    Api(user).call("GET", f"/audit/{LogEntry.objects.first().pk}", expect=403)
    user.user_permissions.add(Permission.objects.get(content_type__app_label="auditlog", codename="view_logentry"))
    Api(user).call("GET", "/audit", expect=200)


def test_nobody_writes_it_superusers_neither(api: Api) -> None:
    make_domain()
    entry = LogEntry.objects.first()
    document = resource("audit-entries", {"who": "somebody else"}, id=str(entry.pk))
    for method, path in (("POST", ""), ("PATCH", f"/{entry.pk}"), ("PUT", f"/{entry.pk}"), ("DELETE", f"/{entry.pk}")):
        api.call(method, f"/audit{path}", document, expect=405)
    assert LogEntry.objects.filter(pk=entry.pk).exists()


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(api: Api) -> None:
    counts = []
    for more in (2, 20):
        for _number in range(more):
            make_operation()
        with CaptureQueriesContext(connection) as queries:
            api.get("/audit?page[size]=1000")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 4


def test_the_root_names_it(api: Api) -> None:
    assert api.get("/")["links"]["audit"].endswith("/api/audit")


def test_there_is_no_such_entry(api: Api) -> None:
    for identity in ("999999", "abc", "9" * 30):
        api.call("GET", f"/audit/{identity}", expect=404)


def test_groups_that_are_given_and_taken_away_are_named(api: Api) -> None:
    user, group = make_user(), Group.objects.create(name="operators")
    user.groups.add(group)
    user.groups.remove(group)
    taken, given = attributes(api.get("/audit?filter[resource_type]=users&filter[action]=update"))
    assert given["changes"] == {"groups": {"before": None, "after": "operators"}}
    assert taken["changes"] == {"groups": {"before": "operators", "after": None}}
