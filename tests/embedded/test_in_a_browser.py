"""What a newcomer does: log in, add an instance, watch its steps, follow its link, and log in to OpenSlides."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.embedded.product import PASSWORD, Product

PATIENCE = 240_000


def test_from_the_login_page_to_a_real_openslides(product: Product, chromium: Browser) -> None:
    context = chromium.new_context(base_url=product.url, viewport={"width": 1400, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Add an instance").first.click()
        page.get_by_label("Event name").fill("Members' assembly <2026>")
        page.get_by_label("Slug").fill("members")
        page.get_by_role("button", name="Create the instance").click()

        # The steps and the state move without a reload.
        expect(page.get_by_text("wait until OpenSlides answers")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("active", exact=True).first).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_role("heading", name="Members' assembly <2026>")).to_be_visible()

        identity = re.search(r"/instance/([0-9a-f]{32})/", page.url)
        assert identity is not None
        password = product.instance(identity[1])["superadmin_password"]
        assert password not in page.content()
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text(password)).to_be_visible(timeout=PATIENCE)

        with context.expect_page() as opened:
            page.locator("a[target=_blank]").filter(has_text="127.0.0.1").first.click()
        openslides = opened.value
        openslides.locator("input[formcontrolname=username]").fill("admin")
        openslides.locator("input[formcontrolname=password]").fill(password)
        openslides.locator("button[type=submit]").click()
        expect(openslides.get_by_role("heading", name="Home")).to_be_visible(timeout=PATIENCE)
        name = openslides.evaluate(
            "async () => (await (await fetch('/rest/core/config/')).json())"
            ".find(row => row.key === 'general_event_name').value"
        )
        assert name == "Members' assembly <2026>"
        product.call("DELETE", f"instances/{identity[1]}", expect=204)
    finally:
        context.close()
