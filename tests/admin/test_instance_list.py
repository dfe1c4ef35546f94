from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from instances.choices import HostKind, OperationKind, State
from instances.models import ActionLock, Host, Instance
from tests.admin.conftest import signed_in
from tests.factories import make_domain, make_host, make_installed, make_instance, make_operation, make_version

LIST = reverse("admin:instances_instance_changelist")
BADGES = reverse("admin:instances_instance_badges")


def slugs(client: Client, query: str = "") -> set[str]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {instance.slug for instance in response.context["cl"].result_list}


def test_it_takes_the_same_queries_for_one_row_as_for_many(browser: Client) -> None:
    place = {"host": make_host(), "domain": make_domain(), "version": make_version()}
    make_operation(instance=make_installed(port=23000, **place))
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for port in range(23001, 23021):
        make_operation(instance=make_installed(port=port, **place))
    with CaptureQueriesContext(connection) as many:
        browser.get(LIST)
    assert len(many) == len(few)


def test_it_is_paginated(browser: Client) -> None:
    place = {"host": make_host(), "domain": make_domain(), "version": make_version()}
    Instance.objects.bulk_create(Instance(slug=f"a{n}", admin_username="x", db="sqlite", **place) for n in range(60))
    assert len(slugs(browser)) == 50
    assert len(slugs(browser, "p=2")) == 10


def test_the_link_opens_in_a_new_tab_and_only_where_it_leads_somewhere(browser: Client) -> None:
    make_installed(port=23000)
    make_installed(port=23001, observed_state=State.ERROR)
    make_installed()
    page = browser.get(LIST).content.decode()
    assert 'target="_blank" rel="noopener noreferrer" data-live-link href="http://127.0.0.1:23000/"' in page
    assert page.count(' data-live-link href="') == 1


def test_removed_instances_are_hidden_until_asked_for(browser: Client) -> None:
    make_installed(slug="here")
    make_instance(slug="gone", removed_at=timezone.now())
    assert slugs(browser) == {"here"}
    assert slugs(browser, "removed=only") == {"gone"}
    assert slugs(browser, "removed=also") == {"here", "gone"}


def test_all_in_the_head_counts_what_is_not_removed(browser: Client) -> None:
    make_installed()
    make_instance(removed_at=timezone.now())
    assert browser.get(LIST).context["cl"].full_result_count == 1


def test_it_filters_by_the_state_that_is_shown(browser: Client) -> None:
    silent = make_host(last_seen=timezone.now() - timedelta(minutes=5))
    never = make_host(last_seen=None)
    make_installed(slug="active")
    make_installed(slug="stopped", observed_state=State.STOPPED)
    make_installed(slug="silent", host=silent)
    make_installed(slug="never", host=never)
    make_instance(slug="new", host=silent)
    assert slugs(browser, "state=active") == {"active"}
    assert slugs(browser, "state=unknown") == {"silent", "never"}
    assert slugs(browser, "state=new") == {"new"}
    assert len(slugs(browser, "state=<script>")) == 5


def test_it_filters_by_version_domain_and_host(browser: Client) -> None:
    one, other = make_installed(slug="one"), make_installed(slug="other")
    for field in ("version", "domain", "host"):
        assert slugs(browser, f"{field}__id__exact={getattr(one, field).pk}") == {"one"}
        assert slugs(browser, f"{field}__id__exact={getattr(other, field).pk}") == {"other"}


@pytest.mark.parametrize("words", ["annual", "Jahres", "synod.example"])
def test_it_searches_slug_event_name_and_domain(browser: Client, words: str) -> None:
    make_installed(slug="annual", event_name="Jahresversammlung", domain=make_domain(domain="synod.example.org"))
    make_installed(slug="other")
    assert slugs(browser, f"q={words}") == {"annual"}


def test_it_searches_the_beginning_of_an_id(browser: Client) -> None:
    instance = make_installed()
    make_installed()
    assert slugs(browser, f"q={instance.pk[:12]}") == {instance.slug}


def test_what_was_typed_is_shown_and_not_run(browser: Client) -> None:
    make_installed(event_name="<script>alert('1')</script> {{ settings.SECRET_KEY }} \"quoted\"")
    page = browser.get(LIST).content.decode()
    assert "<script>alert(" not in page
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; {{ settings.SECRET_KEY }} &quot;quoted&quot;" in page


def test_the_first_visit_says_how_to_begin(browser: Client) -> None:
    page = browser.get(LIST).content.decode()
    assert "No instance yet" in page
    assert reverse("admin:instances_instance_add") in page


def test_the_badges_of_all_rows_come_in_one_answer(browser: Client) -> None:
    active = make_installed(port=23000)
    stopping = make_installed()
    make_operation(instance=stopping, kind=OperationKind.STOP)
    with CaptureQueriesContext(connection) as queries:
        rows = browser.get(BADGES, {"ids": f"{active.pk},{stopping.pk},nobody,' or 1=1"}).json()["rows"]
    assert len([query for query in queries if "instances_" in query["sql"]]) == 1
    assert set(rows) == {active.pk, stopping.pk}
    assert rows[active.pk] == {
        "label": "active",
        "colour": "success",
        "note": "",
        "url": "http://127.0.0.1:23000/",
        "busy": False,
        "attention": "",
    }
    assert rows[stopping.pk]["note"] == "is being stopped"
    assert rows[stopping.pk]["busy"]


def test_badges_are_for_those_who_may_see_instances(db: None) -> None:
    assert signed_in().get(BADGES).status_code == 403
    assert Client().get(BADGES).status_code == 302


def test_selected_instances_are_stopped_and_who_is_left_out_is_told_with_the_reason(browser: Client) -> None:
    ready, busy, locked, new = make_installed(), make_installed(), make_installed(), make_instance()
    make_operation(instance=busy)
    ActionLock.objects.create(instance=locked, action=OperationKind.STOP, reason="Votes are <counted>")
    chosen = [ready.pk, busy.pk, locked.pk, new.pk]
    data = {"action": "stop_selected", "_selected_action": chosen, "index": "0"}
    page = browser.post(LIST, data, follow=True).content.decode()
    assert [o.kind for o in ready.operations.all()] == [OperationKind.STOP]
    assert "3 instances were left out:" in page
    assert f"{busy}) is not finished" in page
    assert f"locked on {locked}: Votes are &lt;counted&gt;" in page
    assert f"{new} is not installed" in page
    assert "Asked for on 1 instance." in page


def test_of_many_that_are_left_out_some_are_named(browser: Client) -> None:
    place = {"host": make_host(), "domain": make_domain(), "version": make_version()}
    chosen = [make_instance(**place).pk for _ in range(25)]
    page = browser.post(LIST, {"action": "stop_selected", "_selected_action": chosen}, follow=True).content.decode()
    assert "25 instances were left out:" in page
    assert page.count("is not installed") == 20
    assert "and 5 more" in page


def test_selected_instances_are_removed_after_a_question(browser: Client) -> None:
    instance = make_installed()
    data = {"action": "remove_selected", "_selected_action": [instance.pk], "index": "0"}
    page = browser.post(LIST, data).content.decode()
    assert "Remove this instance?" in page
    assert "is left out" not in page
    assert not instance.operations.exists()
    browser.post(LIST, {**data, "confirmed": "yes"})
    assert [o.kind for o in instance.operations.all()] == [OperationKind.REMOVE]


def test_the_question_says_which_are_locked(browser: Client) -> None:
    ready, locked = make_installed(), make_installed()
    ActionLock.objects.create(instance=locked, action=OperationKind.REMOVE, reason="Minutes are missing")
    ActionLock.objects.create(instance=ready, action=OperationKind.STOP, reason="Another reason")
    data = {"action": "remove_selected", "_selected_action": [ready.pk, locked.pk], "index": "0"}
    page = browser.post(LIST, data).content.decode()
    assert page.count("is left out") == 1
    assert "Minutes are missing" in page
    assert "Another reason" not in page
    page = browser.post(LIST, {**data, "confirmed": "yes"}, follow=True).content.decode()
    assert "Minutes are missing" in page
    assert ready.operations.exists()
    assert not locked.operations.exists()


def test_djangos_own_bulk_deletion_takes_only_records_of_removed_instances(browser: Client) -> None:
    present, removed = make_installed(), make_instance(removed_at=timezone.now())
    make_operation(instance=removed, kind=OperationKind.REMOVE, status="succeeded", finished_at=timezone.now())
    data = {"action": "delete_selected", "_selected_action": [present.pk, removed.pk], "post": "yes"}
    browser.post(f"{LIST}?removed=also", data)
    assert list(Instance.objects.all()) == [present]
    assert not present.operations.exists()


def test_without_the_permission_nothing_is_done_to_selected_instances(db: None) -> None:
    instance = make_installed()
    client = signed_in("view_instance")
    for action in ("stop_selected", "remove_selected", "delete_selected"):
        client.post(LIST, {"action": action, "_selected_action": [instance.pk], "confirmed": "yes", "post": "yes"})
    assert Instance.objects.filter(pk=instance.pk).exists()
    assert not instance.operations.exists()


def test_when_each_was_last_used_is_shown_where_hosts_let_instances_sleep(browser: Client) -> None:
    make_installed(slug="slept", last_used_at=timezone.now() - timedelta(hours=3))
    assert "Last used" not in browser.get(LIST).content.decode()
    Host.objects.update(kind=HostKind.SYSTEMD)
    page = browser.get(LIST).content.decode()
    assert "Last used" in page
    assert "3 hours ago" in page.replace("\xa0", " ")
