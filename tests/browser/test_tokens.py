"""An API token is made in the browser, and copied from the page that shows it."""

from __future__ import annotations

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from instances.models import ApiToken

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_token_is_made_shown_once_and_copied(admin: Page) -> None:
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin.goto("/admin/instances/apitoken/")
    admin.get_by_role("link", name="Add API token").first.click()
    admin.get_by_label("Name").fill("Nightly deployment")
    admin.get_by_role("button", name="Make the token").click()
    admin.get_by_role("button", name="Copy").click()
    expect(admin.get_by_role("button", name="Copied")).to_be_visible()
    copied = admin.evaluate("navigator.clipboard.readText()")
    assert Client().get("/api/instances", headers={"authorization": f"Bearer {copied}"}).status_code == 200
    admin.get_by_role("link", name="I have copied it").click()
    expect(admin.get_by_role("link", name="Nightly deployment")).to_be_visible()
    assert copied not in admin.content()
    assert ApiToken.objects.count() == 1
