"""What the system has given up: counted, filtered, shown with its reason, and tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from instances import operations
from instances.choices import Desired, Origin, State
from instances.models import ActionLock, Instance, Operation
from tests.admin.conftest import signed_in
from tests.factories import make_installed

LIST = reverse("admin:instances_instance_changelist")
BADGES = reverse("admin:instances_instance_badges")
REASON = "5 tries were in vain. The last reason: No space left on <device>"
SHOWN = "No space left on &lt;device&gt;"


def tried(**values: Any) -> Instance:
    return make_installed(**{"attention": REASON, "retries": 5, "observed_state": State.ERROR, **values})


def own(instance: Instance, view: str = "change") -> str:
    return reverse(f"admin:instances_instance_{view}", args=(instance.pk,))


def text(client: Client, address: str) -> str:
    answer = client.get(address, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_first_page_counts_them_and_leads_to_them(browser: Client) -> None:
    make_installed()
    assert "Nothing needs attention" in text(browser, reverse("admin:index"))
    for _ in range(9):
        tried()
    tried(removed_at=timezone.now())
    page = text(browser, reverse("admin:index"))
    assert "9 instances" in page
    assert page.count(SHOWN) == 8
    assert page.count(f'href="{LIST}?attention=yes"') == 2


def test_it_is_not_for_those_who_may_not_see_instances(db: None) -> None:
    tried()
    assert SHOWN not in text(signed_in("view_host"), reverse("admin:index"))


def test_the_list_shows_a_badge_and_can_be_filtered(browser: Client) -> None:
    well, ill = make_installed(slug="well"), tried(slug="ill")
    page = text(browser, LIST)
    assert f'title="{REASON.replace("<", "&lt;").replace(">", "&gt;")}">needs attention' in page
    assert ' title="" hidden>needs attention' in page
    found = browser.get(LIST, {"attention": "yes"}).context["cl"].result_list
    assert [instance.slug for instance in found] == ["ill"]
    rows = browser.get(BADGES, {"ids": f"{well.pk},{ill.pk}"}).json()["rows"]
    assert (rows[well.pk]["attention"], rows[ill.pk]["attention"]) == ("", REASON)


def test_it_is_tried_again_from_its_page(browser: Client) -> None:
    instance = tried()
    page = text(browser, own(instance))
    assert SHOWN in page
    assert own(instance, "try_again") in page
    assert browser.get(own(instance, "try_again")).status_code == 405
    assert SHOWN not in browser.post(own(instance, "try_again"), follow=True).content.decode()
    operation = Operation.objects.get()
    assert (operation.kind, operation.requested_via) == ("start", Origin.ADMIN)
    assert Instance.objects.get().attention == ""


def test_what_is_tried_later_can_be_tried_now(browser: Client) -> None:
    waiting = make_installed(retries=1, retry_at=timezone.now() + timedelta(minutes=5), observed_state=State.ERROR)
    page = text(browser, own(waiting))
    assert "the system tries again on" in page
    browser.post(own(waiting, "try_again"))
    assert Operation.objects.get().kind == "start"
    well = make_installed(retries=1, retry_at=timezone.now() + timedelta(minutes=5))
    assert own(well, "try_again") not in text(browser, own(well))


def test_why_it_is_not_tried_again_is_said(browser: Client) -> None:
    locked, busy = tried(), tried()
    ActionLock.objects.create(instance=locked, action="start", reason="Disk is replaced")
    operations.stop(busy, operations.SYSTEM)
    assert f'formaction="{own(locked, "try_again")}"' not in text(browser, own(locked))
    for instance, reason in ((locked, "Disk is replaced. Unlock it first"), (busy, "is not finished")):
        assert reason in browser.post(own(instance, "try_again"), follow=True).content.decode()
        instance.refresh_from_db()
        assert instance.attention
    assert "nothing to try again" in browser.post(own(make_installed(), "try_again"), follow=True).content.decode()


@pytest.mark.parametrize(
    ("desired", "needed", "other"),
    [(Desired.ACTIVE, "change_instance", "delete_instance"), (Desired.REMOVED, "delete_instance", "change_instance")],
)
def test_it_needs_the_permission_for_what_is_tried(db: None, desired: Desired, needed: str, other: str) -> None:
    instance = tried(desired_state=desired)
    for refused in (signed_in("view_instance"), signed_in("view_instance", other)):
        assert own(instance, "try_again") not in text(refused, own(instance))
        assert refused.post(own(instance, "try_again")).status_code == 403
    assert not Operation.objects.exists()
    allowed = signed_in("view_instance", needed)
    assert own(instance, "try_again") in text(allowed, own(instance))
    allowed.post(own(instance, "try_again"))
    assert Operation.objects.exists()
