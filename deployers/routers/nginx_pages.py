"""The pages that nginx shows in an instance's place: static HTML, in the languages of LANGUAGES."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

PAGES = Path(__file__).resolve().parents[2] / "templates" / "host" / "pages"
LANGUAGES = ("de", "en")


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says in one language."""

    heading: str
    text: str


STARTING = "starting"
INACTIVE = "inactive"
UNKNOWN = "unknown"
UPDATING = "updating"

RELOAD_SECONDS = {STARTING: 2, UPDATING: 10}

WORDS = {
    STARTING: {
        "de": Words("OpenSlides startet", "Einen Moment bitte. Diese Seite lädt sich von selbst neu."),
        "en": Words("OpenSlides is starting", "One moment, please. This page reloads by itself."),
    },
    INACTIVE: {
        "de": Words("Zurzeit nicht aktiv", "Diese Veranstaltung ist angehalten. Wer sie verwaltet, kann sie starten."),
        "en": Words("Not active at the moment", "This event is stopped. Those who manage it can start it."),
    },
    UPDATING: {
        "de": Words(
            "Wird gerade aktualisiert", "In wenigen Minuten geht es hier weiter. Diese Seite lädt sich von selbst neu."
        ),
        "en": Words("Being updated", "It goes on here in a few minutes. This page reloads by itself."),
    },
    UNKNOWN: {
        "de": Words("Hier ist nichts", "Zu dieser Adresse gibt es keine Veranstaltung. Ist sie richtig geschrieben?"),
        "en": Words("Nothing is here", "There is no event at this address. Is it spelled correctly?"),
    },
}


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(PAGES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2")


def page(kind: str, language: str, event: str = "") -> str:
    """A page as HTML. ``event``: the event's name as it was typed; it is escaped here."""
    words = WORDS[kind][language]
    return _template().render(
        language=language,
        title=f"{event} – {words.heading}" if event else words.heading,
        event=event,
        heading=words.heading,
        text=words.text,
        reload_seconds=RELOAD_SECONDS.get(kind),
    )


def pages(kinds: tuple[str, ...], event: str = "") -> dict[str, str]:
    """Pages by the names of their files: ``starting.de.html``."""
    return {f"{kind}.{language}.html": page(kind, language, event) for kind in kinds for language in LANGUAGES}
