"""The pages that nginx shows in an instance's place."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from deployers.routers.nginx_pages import INACTIVE, LANGUAGES, STARTING, UNKNOWN, UPDATING, WORDS, page

KINDS = (STARTING, INACTIVE, UPDATING, UNKNOWN)
HOSTILE = "</title></style><script>document.body.innerHTML='taken'</script>\"'&{{ 7*7 }}"


def test_every_page_is_there_in_every_language() -> None:
    assert {kind: set(words) for kind, words in WORDS.items()} == {kind: set(LANGUAGES) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_needs_nothing_from_elsewhere(kind: str, language: str) -> None:
    assert not re.search(r"src=|href=|url\(|@import|<script", page(kind, language, "Event"))


def test_only_pages_of_what_passes_reload_themselves() -> None:
    assert [kind for kind in KINDS if 'http-equiv="refresh"' in page(kind, "en")] == [STARTING, UPDATING]


def test_the_events_name_is_text_and_never_markup(chromium: Browser) -> None:
    tab = chromium.new_page()
    try:
        tab.set_content(page(INACTIVE, "en", HOSTILE))
        assert tab.locator(".event").text_content() == HOSTILE
        assert tab.title().startswith(HOSTILE)
    finally:
        tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_a_long_name_fits_on_every_screen(chromium: Browser, scheme: str, width: int) -> None:
    tab = chromium.new_page(color_scheme=scheme, viewport={"width": width, "height": 640})
    try:
        tab.set_content(
            page(STARTING, "de", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamten" * 3)
        )
        assert tab.evaluate("document.documentElement.scrollWidth") == width
    finally:
        tab.close()
