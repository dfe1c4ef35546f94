"""What shall begin later is asked for on the pages that ask, shown on the instance's page, and cancelled from there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from instances.choices import OperationKind, Outcome
from instances.models import ActionLock, Instance, Operation
from tests.admin.conftest import signed_in
from tests.factories import make_backup, make_installed, make_operation, make_version


def own(instance: Instance, view: str = "change") -> str:
    return reverse(f"admin:instances_instance_{view}", args=(instance.pk,))


def typed(moment: datetime) -> str:
    """As browsers send it."""
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"


TONIGHT = typed(timezone.now() + timedelta(hours=8))
OVER = typed(timezone.now() - timedelta(minutes=2))


@pytest.mark.parametrize("kind", ["start", "stop", "backup"])
def test_what_has_no_page_of_its_own_is_postponed_on_one_for_all(browser: Client, kind: str) -> None:
    instance = make_installed()
    assert own(instance, "later") in browser.get(own(instance)).content.decode()
    assert "The time zone is Europe/Berlin." in browser.get(own(instance, "later")).content.decode()
    answer = browser.post(own(instance, "later"), {"kind": kind, "not_before": TONIGHT}, follow=True)
    operation = Operation.objects.get()
    assert (operation.kind, operation.status) == (kind, Outcome.POSTPONED)
    assert operation.not_before is not None
    assert typed(operation.not_before) == TONIGHT
    page = answer.content.decode()
    assert "is postponed: it begins on" in page
    assert "Postponed: it begins on" in page
    assert reverse("admin:instances_operation_cancel", args=(operation.pk,)) in page


def test_update_remove_and_restore_can_be_postponed(browser: Client) -> None:
    instance = make_installed(version=make_version(name="3.2"))
    newer, backup = make_version(name="3.3"), make_backup(instance=instance)
    restore = reverse("admin:instances_backup_restore", args=(backup.pk,))
    for address, values in (
        (own(instance, "update"), {"version": newer.pk}),
        (own(instance, "delete"), {}),
        (restore, {"safety": "on"}),
    ):
        assert 'type="datetime-local"' in browser.get(address).content.decode()
        browser.post(address, {**values, "not_before": TONIGHT})
    kinds = {operation.kind for operation in Operation.objects.filter(status=Outcome.POSTPONED)}
    assert kinds == {OperationKind.UPDATE, OperationKind.REMOVE, OperationKind.RESTORE}
    assert browser.get(own(instance)).content.decode().count("Postponed: it begins on") == 3


def test_a_backup_that_is_to_come_is_not_among_those_that_are_there(browser: Client) -> None:
    instance = make_installed()
    there = make_backup(instance=instance)
    browser.post(own(instance, "later"), {"kind": "backup", "not_before": TONIGHT})
    browser.post(own(instance, "delete"), {"not_before": TONIGHT})
    shown = browser.get(own(instance)).context["head"].backups
    assert [row.backup for row in shown.rows] == [there]
    Operation.objects.filter(kind=OperationKind.BACKUP).update(status=Outcome.QUEUED)
    assert len(browser.get(own(instance)).context["head"].backups.rows) == 2


def test_left_empty_it_begins_at_once(browser: Client) -> None:
    instance = make_installed()
    browser.post(own(instance, "delete"), {"not_before": ""})
    assert Operation.objects.get().status == Outcome.QUEUED


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (OVER, "This time is over."),
        ("0001-01-01T00:00", "This time is over."),
        ("9999-12-31T23:59", "more than ten years away"),
        ("tonight", "Enter a valid date/time."),
        ("2030-03-31T02:30", "Enter a valid date/time."),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_and_stays_in_the_field(
    browser: Client, moment: str, reason: str
) -> None:
    instance = make_installed(version=make_version(name="3.2"))
    newer = make_version(name="3.3")
    for address, values in (
        (own(instance, "later"), {"kind": "backup"}),
        (own(instance, "update"), {"version": newer.pk}),
        (own(instance, "delete"), {}),
    ):
        answer = browser.post(address, {**values, "not_before": moment})
        assert answer.status_code == 200
        page = answer.content.decode()
        assert reason in page or (moment.startswith("2030") and "couldn" in page)
        assert f'value="{moment}"' in page
        if values:
            assert "selected" in page
    assert not Operation.objects.exists()


def test_later_needs_a_time_and_something_to_do(browser: Client) -> None:
    instance = make_installed()
    for values in ({"kind": "stop"}, {"not_before": TONIGHT}, {"kind": "purge", "not_before": TONIGHT}):
        assert browser.post(own(instance, "later"), values).context["form"].errors
    assert not Operation.objects.exists()


@pytest.mark.parametrize("reason", ["locked", "postponed", "removed"])
def test_why_it_was_refused_stands_in_the_form(browser: Client, reason: str) -> None:
    instance = make_installed(removed_at=timezone.now() if reason == "removed" else None)
    if reason == "locked":
        ActionLock.objects.create(instance=instance, action="stop", reason="Votes are counted")
    values: dict[str, Any] = {"kind": "stop", "not_before": TONIGHT}
    if reason == "postponed":
        browser.post(own(instance, "later"), values)
    form = browser.post(own(instance, "later"), values).context["form"]
    assert len(form.non_field_errors()) == 1
    assert form["not_before"].value() == TONIGHT


def test_only_what_one_may_ask_for_is_offered(db: None) -> None:
    instance = make_installed()
    assert signed_in("view_instance").get(own(instance, "later")).status_code == 403
    keeper = signed_in("view_instance", "add_backup")
    form = keeper.get(own(instance, "later")).context["form"]
    assert [value for value, _label in form.fields["kind"].choices] == ["backup"]
    assert keeper.post(own(instance, "later"), {"kind": "stop", "not_before": TONIGHT}).context["form"].errors


def test_one_that_is_due_and_waits_says_so_and_the_card_is_of_what_runs(browser: Client) -> None:
    instance = make_installed()
    make_operation(
        instance=instance,
        kind=OperationKind.BACKUP,
        status=Outcome.POSTPONED,
        not_before=timezone.now() - timedelta(minutes=1),
    )
    running = make_operation(instance=instance, kind=OperationKind.STOP)
    make_operation(
        instance=instance,
        kind=OperationKind.START,
        status=Outcome.POSTPONED,
        not_before=timezone.now() + timedelta(hours=1),
    )
    answer = browser.get(own(instance))
    assert answer.context["head"].card.operation == running
    assert "as soon as nothing else runs" in answer.content.decode()


def test_it_can_begin_before_its_time(browser: Client) -> None:
    instance = make_installed()
    browser.post(own(instance, "later"), {"kind": "stop", "not_before": TONIGHT})
    begin = reverse("admin:instances_operation_begin", args=(Operation.objects.get().pk,))
    assert begin in browser.get(own(instance)).content.decode()
    assert browser.get(begin).status_code == 405
    assert browser.post(begin).headers["Location"] == own(instance)
    assert Operation.objects.get().status == Outcome.QUEUED
    assert begin not in browser.get(own(instance)).content.decode()
    assert "is not postponed any more" in browser.post(begin, follow=True).content.decode()


def test_a_removal_begins_with_the_permission_to_remove(db: None) -> None:
    instance = make_installed()
    operation = make_operation(
        instance=instance,
        kind=OperationKind.REMOVE,
        status=Outcome.POSTPONED,
        not_before=timezone.now() + timedelta(hours=1),
    )
    begin = reverse("admin:instances_operation_begin", args=(operation.pk,))
    changer = signed_in("view_instance", "change_instance")
    assert begin not in changer.get(own(instance)).content.decode()
    assert changer.post(begin).status_code == 403
    assert signed_in("view_instance").post(begin).status_code == 403
    signed_in("change_instance", "delete_instance").post(begin)
    assert Operation.objects.get().status == Outcome.QUEUED
