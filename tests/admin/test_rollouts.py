"""Updates of many in the admin: from the list of instances to a page that shows how far they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from instances import operations, rollouts
from instances.choices import OperationKind, Origin, Outcome, RolloutStatus
from instances.models import ActionLock, Instance, Operation, Rollout, Version
from tests.admin.conftest import signed_in
from tests.factories import make_domain, make_host, make_installed, make_version

INSTANCES = reverse("admin:instances_instance_changelist")
LIST = reverse("admin:instances_rollout_changelist")
BEGIN = reverse("admin:instances_rollout_begin")
PLAN = reverse("admin:instances_rollout_plan")


@pytest.fixture
def newer(db: None) -> Version:
    return make_version(name="3.4", image="pypi:openslides==3.4")


def make_many(number: int) -> list[Instance]:
    place = {"host": make_host(), "domain": make_domain(domain="example.org"), "version": make_version(name="3.3")}
    return [make_installed(slug=f"a{position}", **place) for position in range(number)]


def act(client: Client, instances: list[Instance]) -> Any:
    ids = [instance.pk for instance in instances]
    return client.post(INSTANCES, {"action": "update_in_waves", ACTION_CHECKBOX_NAME: ids})


def values(to: Version, instances: list[Instance], **changed: Any) -> dict[str, Any]:
    found = {
        "chosen": ",".join(instance.pk for instance in instances),
        "version": to.pk,
        "waves": "1,2",
        "failure_percent": 10,
        "not_before": "",
        **changed,
    }
    return {"seen": f"{found['version']}/{found['waves']}", **found}


def page_of(rollout: Rollout) -> str:
    return reverse("admin:instances_rollout_change", args=(rollout.pk,))


def begun(version: Version, number: int = 4, **options: Any) -> Rollout:
    return rollouts.begin(version, make_many(number), operations.Request(Origin.ADMIN), **options)


def fail_first(version: Version) -> Rollout:
    rollout = begun(version)
    rollouts.advance()
    Operation.objects.update(status=Outcome.FAILED, finished_at=timezone.now(), error="No <room>.")
    rollouts.advance()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.STOPPED
    return rollout


def test_the_marked_instances_lead_to_a_page_with_the_waves(browser: Client, newer: Version) -> None:
    response = act(browser, make_many(8))
    page = response.content.decode()
    assert "Update 8 instances in waves" in page
    assert [line["size"] for line in response.context["plan"]["lines"]] == [1, 5, 2]
    assert "a7.example.org" in page
    assert not Rollout.objects.exists()


def test_what_is_left_out_is_said_with_the_reason(browser: Client, newer: Version) -> None:
    instances = make_many(2)
    ActionLock.objects.create(instance=instances[0], action=OperationKind.UPDATE, reason="The assembly is on")
    page = act(browser, instances).content.decode()
    assert "1 instance is left out" in page
    assert "The assembly is on" in page


def test_without_a_newer_version_there_is_nothing_to_choose(browser: Client, db: None) -> None:
    response = act(browser, make_many(2))
    assert "Add or enable a newer one first" in response.content.decode()
    assert 'data-look="primary"' not in response.content.decode().split("mi-ask")[1]


def test_it_begins_and_leads_to_its_page(browser: Client, newer: Version) -> None:
    instances = make_many(4)
    response = browser.post(BEGIN, values(newer, instances, failure_percent=25))
    rollout = Rollout.objects.get()
    assert response.headers["Location"] == page_of(rollout)
    assert (rollout.waves, rollout.failure_percent, rollout.requested_via) == ("1,2", 25, Origin.ADMIN)
    assert list(rollout.items.values_list("wave", flat=True)) == [1, 2, 2, 3]


def test_the_time_is_one_of_the_control_planes_time_zone(browser: Client, newer: Version, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    with timezone.override("Europe/Berlin"):
        browser.post(BEGIN, values(newer, make_many(1), not_before="2030-07-01T02:00"))
    not_before = Rollout.objects.get().not_before
    assert not_before is not None
    assert not_before.isoformat() == "2030-07-01T00:00:00+00:00"


def test_waves_that_were_not_seen_are_shown_first(browser: Client, newer: Version) -> None:
    sent = values(newer, make_many(4)) | {"seen": "other"}
    response = browser.post(BEGIN, sent)
    assert "These are the waves now" in response.content.decode()
    assert not Rollout.objects.exists()
    browser.post(BEGIN, sent | {"seen": response.context["plan"]["key"]})
    assert Rollout.objects.exists()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"waves": "none"}, "Write numbers of instances"),
        ({"waves": ""}, "This field is required"),
        ({"failure_percent": "101"}, "less than or equal to 100"),
        ({"version": "999"}, "This version cannot be taken"),
        ({"not_before": "tonight"}, "Enter a valid date/time"),
    ],
)
def test_wrong_values_come_back_with_the_reason(
    browser: Client, newer: Version, changed: dict[str, Any], text: str
) -> None:
    response = browser.post(BEGIN, values(newer, make_many(2), **changed))
    assert response.status_code == 200
    assert text in response.content.decode()
    assert not Rollout.objects.exists()


def test_the_plan_is_shown_for_what_was_typed(browser: Client, newer: Version) -> None:
    instances = make_many(5)
    response = browser.post(PLAN, values(newer, instances, waves="2"))
    assert [line["size"] for line in response.context["plan"]["lines"]] == [2, 2, 1]
    assert "Write numbers of instances" in browser.post(PLAN, values(newer, instances, waves="x")).content.decode()


def test_nothing_chosen_leads_back_to_the_list(browser: Client, newer: Version) -> None:
    assert browser.get(BEGIN).headers["Location"] == INSTANCES
    assert browser.post(BEGIN, values(newer, [])).headers["Location"] == INSTANCES


def test_the_page_shows_waves_instances_and_what_failed(browser: Client, newer: Version) -> None:
    rollout = fail_first(newer)
    response = browser.get(page_of(rollout))
    page = response.content.decode()
    assert [(wave.number, wave.count.size) for wave in response.context["page"].waves] == [(1, 1), (2, 3)]
    assert rollout.reason in page
    assert "No &lt;room&gt;." in page
    assert "Go on, and try again what failed" in page
    live = browser.get(reverse("admin:instances_rollout_live", args=(rollout.pk,)))
    assert "no-store" in live.headers["Cache-Control"]
    assert "No &lt;room&gt;." in live.content.decode()


def test_the_page_costs_the_same_for_many(browser: Client, newer: Version) -> None:
    instances = make_many(12)
    one = rollouts.begin(newer, instances[:1], operations.SYSTEM)
    many = rollouts.begin(newer, instances, operations.SYSTEM)
    browser.get(page_of(one))
    with CaptureQueriesContext(connection) as few:
        browser.get(page_of(one))
    with CaptureQueriesContext(connection) as found:
        browser.get(page_of(many))
    assert len(found) == len(few)


def test_of_a_large_wave_those_are_listed_first_that_want_a_look(browser: Client, newer: Version) -> None:
    rollout = begun(newer, 80, waves="100%")
    last = rollout.items.order_by("pk").last()
    assert last is not None
    last.status, last.note = "failed", "No room."
    last.save()
    wave = browser.get(page_of(rollout)).context["page"].waves[0]
    assert (wave.lines[0].item, len(wave.lines), wave.more) == (last, 50, 30)


def test_one_that_is_busy_says_with_what(browser: Client, newer: Version) -> None:
    rollout = begun(newer, 1)
    operations.stop(Instance.objects.get(), operations.SYSTEM)
    assert "Busy (stop)" in browser.get(page_of(rollout)).content.decode()


def test_it_is_resumed_with_and_without_what_failed(browser: Client, newer: Version) -> None:
    rollout = fail_first(newer)
    address = reverse("admin:instances_rollout_resume", args=(rollout.pk,))
    assert browser.post(f"{address}?retry").headers["Location"] == page_of(rollout)
    rollouts.advance()
    assert Operation.objects.unfinished().count() == 1
    Operation.objects.unfinished().update(status=Outcome.FAILED, finished_at=timezone.now())
    rollouts.advance()
    browser.post(address)
    rollouts.advance()
    assert Operation.objects.unfinished().count() == 3
    response = browser.post(address, follow=True)
    assert "It is running." in response.content.decode()


def test_where_nothing_is_left_but_what_failed_one_can_leave_it_at_that(browser: Client, newer: Version) -> None:
    rollout = begun(newer, 1)
    rollouts.advance()
    Operation.objects.update(status=Outcome.FAILED, finished_at=timezone.now(), error="No room.")
    rollouts.advance()
    page = browser.get(page_of(rollout)).content.decode()
    assert "Leave it at that" in page
    assert reverse("admin:instances_rollout_cancel", args=(rollout.pk,)) not in page
    browser.post(reverse("admin:instances_rollout_resume", args=(rollout.pk,)))
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.FINISHED


def test_cancelling_asks_first(browser: Client, newer: Version) -> None:
    rollout = begun(newer)
    address = reverse("admin:instances_rollout_cancel", args=(rollout.pk,))
    assert "what is updated stays updated" in browser.get(address).content.decode()
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.RUNNING
    browser.post(address)
    rollout.refresh_from_db()
    assert rollout.status == RolloutStatus.CANCELLED


def test_the_list_shows_how_far_each_is_and_costs_the_same_for_many(browser: Client, newer: Version) -> None:
    instances = make_many(3)
    rollouts.begin(newer, instances, operations.SYSTEM)
    with CaptureQueriesContext(connection) as few:
        assert "0 of 3" in browser.get(LIST).content.decode()
    for _number in range(5):
        rollouts.begin(newer, instances, operations.SYSTEM)
    with CaptureQueriesContext(connection) as found:
        browser.get(LIST)
    assert len(found) == len(few)
    badges = browser.get(reverse("admin:instances_rollout_badges"), {"ids": str(Rollout.objects.all()[0].pk)}).json()
    assert [row["note"] for row in badges["rows"].values()] == ["0 of 3"]


def test_one_with_a_time_to_come_is_called_postponed(browser: Client, newer: Version) -> None:
    rollout = begun(newer, not_before=timezone.now() + timedelta(hours=3))
    page = browser.get(page_of(rollout))
    assert page.context["page"].badge["label"] == "postponed"
    assert not page.context["page"].busy
    assert "Begins on" in page.content.decode()


def test_an_empty_list_says_how_to_begin_one(browser: Client) -> None:
    assert "Mark instances in their list" in browser.get(LIST).content.decode()


def test_who_may_not_begin_one_does_not_see_the_action(newer: Version) -> None:
    instances = make_many(1)
    for permissions in (("view_instance", "change_instance"), ("view_instance", "add_rollout")):
        client = signed_in(*permissions)
        assert "update_in_waves" not in client.get(INSTANCES).content.decode()
        assert client.post(BEGIN, values(newer, instances)).status_code == 403
        assert client.post(PLAN, values(newer, instances)).status_code == 403
    client = signed_in("view_instance", "change_instance", "add_rollout")
    assert "update_in_waves" in client.get(INSTANCES).content.decode()


def test_who_may_only_look_gets_no_buttons(newer: Version) -> None:
    rollout = fail_first(newer)
    client = signed_in("view_rollout", "view_instance")
    assert "operation-form" in client.get(page_of(rollout)).content.decode()
    assert "mi-buttons" not in client.get(page_of(rollout)).content.decode()
    for action in ("resume", "cancel"):
        address = reverse(f"admin:instances_rollout_{action}", args=(rollout.pk,))
        assert client.post(address).status_code == 403
    assert signed_in().get(reverse("admin:instances_rollout_live", args=(rollout.pk,))).status_code == 403


def test_the_first_page_names_those_that_have_not_ended(browser: Client, newer: Version) -> None:
    rollout = fail_first(newer)
    assert page_of(rollout) in browser.get(reverse("admin:index")).content.decode()
    rollouts.cancel(rollout, operations.SYSTEM)
    assert page_of(rollout) not in browser.get(reverse("admin:index")).content.decode()


def test_a_version_stays_until_its_update_of_many_has_ended(browser: Client, newer: Version) -> None:
    rollout = begun(newer)
    address = reverse("admin:instances_version_delete", args=(newer.pk,))
    assert "(not ended)" in browser.get(address).content.decode()
    browser.post(address, {"post": "yes"})
    assert Version.objects.filter(pk=newer.pk).exists()
    rollouts.cancel(rollout, operations.SYSTEM)
    browser.post(address, {"post": "yes"})
    assert not Version.objects.filter(pk=newer.pk).exists()


def test_the_record_of_a_removed_instance_can_be_deleted(browser: Client, newer: Version) -> None:
    rollout = begun(newer, 2)
    rollouts.cancel(rollout, operations.SYSTEM)
    gone = Instance.objects.all()[0]
    Instance.objects.filter(pk=gone.pk).update(removed_at=timezone.now())
    browser.post(reverse("admin:instances_instance_delete", args=(gone.pk,)), {"post": "yes"})
    assert not Instance.objects.filter(pk=gone.pk).exists()
    assert rollout.items.count() == 1
