"""Chromium as Debian ships it, and Django's own server with the pages' real scripts and styles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.factories import PASSWORD, make_user

# Playwright runs an event loop in this thread, where Django would refuse its database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture(autouse=True)
def hosts_stay_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker reports here, and a busy machine needs more than a minute for some tests."""
    for user in ("instances.models.host", "instances.admin.instance.filters", "instances.api.filters"):
        monkeypatch.setattr(f"{user}.HEARD_WITHIN", timedelta(hours=1))


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console said that no page may cause."""
    return []


@pytest.fixture
def page(chromium: Browser, live_server: Any, complaints: list[str]) -> Iterator[Page]:
    """A tab without a session."""
    context = chromium.new_context(base_url=live_server.url, locale="en-GB")
    context.set_default_timeout(60_000)
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    context.close()
    assert complaints == []


@pytest.fixture
def admin(page: Page) -> Page:
    """A tab in which somebody who may do everything has signed in."""
    user = make_user(is_superuser=True)
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(user.get_username())
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
    return page
