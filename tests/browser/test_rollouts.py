"""An update of many in a browser: from marked instances over the waves to a page that moves by itself."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from instances import rollouts
from instances.choices import Outcome
from instances.models import Instance, Operation, Rollout
from tests.factories import make_domain, make_host, make_installed, make_version

pytestmark = pytest.mark.django_db(transaction=True)


def end_updates(outcome: Outcome = Outcome.SUCCEEDED, error: str = "") -> None:
    """As the workers would, then goes on as the periodic task would."""
    for operation in Operation.objects.unfinished():
        if outcome == Outcome.SUCCEEDED:
            Instance.objects.filter(pk=operation.instance_id).update(version=operation.version)
        Operation.objects.filter(pk=operation.pk).update(status=outcome, finished_at=timezone.now(), error=error)
    rollouts.advance()


def test_from_the_list_to_the_end(admin: Page) -> None:
    place = {"host": make_host(), "domain": make_domain(domain="example.org"), "version": make_version(name="3.3")}
    for number in range(4):
        make_installed(slug=f"branch-{number}", port=23000 + number, **place)
    make_version(name="3.4", image="pypi:openslides==3.4")
    admin.goto(reverse("admin:instances_instance_changelist"))
    admin.locator("#action-toggle").check()
    admin.locator("select[name=action]").select_option(label="Update in waves")
    admin.get_by_role("button", name="Run").click()
    expect(admin.get_by_role("heading", name="Update 4 instances in waves")).to_be_visible()
    rows = admin.locator(".mi-table tbody tr")
    expect(rows).to_have_count(2)
    # The waves are shown anew while they are typed.
    admin.get_by_label("Waves").fill("1,2,")
    expect(admin.get_by_text("Write numbers of instances")).to_be_visible()
    admin.get_by_label("Waves").fill("1,2")
    expect(rows).to_have_count(3)
    admin.get_by_role("button", name="Begin").click()
    expect(admin.get_by_role("heading", name="Update to OpenSlides 3.4")).to_be_visible()

    admin.evaluate("window.notReloaded = true")
    rollouts.advance()
    expect(admin.locator("[data-wave='1']")).to_contain_text("1 running")
    end_updates()
    expect(admin.locator("[data-wave='1']")).to_contain_text("1 updated")
    end_updates(Outcome.FAILED, "No room.")
    expect(admin.locator(".mi-failure")).to_contain_text("2 of 2 instances in wave 2 failed")
    expect(admin.locator("[data-wave='2']")).to_contain_text("No room.")
    assert admin.evaluate("window.notReloaded") is True

    admin.get_by_role("button", name="Go on, and try again what failed").click()
    expect(admin.locator(".mi-failure")).to_have_count(0)
    for _wave in range(3):
        rollouts.advance()
        end_updates()
    expect(admin.locator(".mi-head")).to_contain_text("finished")
    expect(admin.locator(".mi-head")).to_contain_text("4 updated")
    assert Rollout.objects.get().items.count() == 4
