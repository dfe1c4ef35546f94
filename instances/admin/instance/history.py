"""The page of an instance's history: how long it was in which state, and how much of the time it answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from instances.admin.instance.views import InstanceViews
from instances.availability import Availability, Span, figures, slices, spans_of, times
from instances.choices import Desired, State
from instances.models import Instance

HOUR = timedelta(hours=1)
PERIODS = {1: HOUR / 2, 7: 3 * HOUR, 30: 12 * HOUR, 90: 36 * HOUR, 365: 146 * HOUR}
"""Days that can be chosen, and how long each of the strip's parts is then."""
DEFAULT_DAYS = 30
ROWS = 100
LEAST = 0.0001
"""A share that is less is not told as a number, which would be 0."""
BAD = 0.5
"""A part of the strip is red when it was down for longer than this share of what is counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the strip: ``colour`` as in :attr:`State.badge`, ``text`` for who points at it."""

    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A span of the history. ``note``: when it is not as it was wanted."""

    state: str
    colour: str
    note: str
    since: datetime
    lasted: str


@dataclass(frozen=True, slots=True)
class History:
    """What the page shows. ``left_out``: so many older changes are not in ``rows``."""

    days: int
    choices: tuple[int, ...]
    percent: str
    figures: Availability
    down: str
    since: datetime | None
    strip: list[Part]
    times: list[tuple[str, str, str, str]]
    rows: list[Row]
    left_out: int


def history_of(instance: Instance, days: int) -> History:
    """Two queries."""
    spans = [span for span in spans_of(instance, days) if span.lasted]
    found = figures(spans)
    whole = sum((span.lasted for span in spans), timedelta())
    shown = list(reversed(spans))
    return History(
        days=days,
        choices=tuple(PERIODS),
        percent="–" if found.percent is None else percent_text(found.percent),
        figures=found,
        down=duration(found.down),
        since=spans[0].since if spans else None,
        strip=_strip(spans, days),
        times=[
            (str(state.label), state.badge, duration(lasted), share_text(lasted / whole))
            for state, lasted in times(spans).items()
        ],
        rows=[_row(span) for span in shown[:ROWS]],
        left_out=max(0, len(shown) - ROWS),
    )


def _row(span: Span) -> Row:
    note = ""
    if span.is_outage and span.state == State.STOPPED:
        note = _("although it was wanted active")
    elif span.wanted == Desired.STOPPED and span.state not in (State.STOPPED, State.UPDATING):
        note = _("although it was wanted stopped")
    return Row(str(span.state.label), span.state.badge, note, span.since, duration(span.lasted))


def _strip(spans: list[Span], days: int) -> list[Part]:
    length = PERIODS[days]
    count = round(timedelta(days=days) / length)
    begin = timezone.now() - count * length
    cut = slices(spans, begin, length, count)
    return [_part(found, begin + number * length, length) for number, found in enumerate(cut)]


def _part(spans: list[Span], begin: datetime, length: timedelta) -> Part:
    found = figures(spans)
    end = date_format(localtime(begin + length), "TIME_FORMAT")
    when = f"{date_format(localtime(begin), 'SHORT_DATETIME_FORMAT')} – {end}"
    if found.percent is None:
        words = ", ".join(str(state.label) for state in times(spans)) or _("nothing is known")
        return Part("", f"{when}: {words}")
    text = f"{when}: {percent_text(found.percent)}"
    if not found.down:
        return Part("success", text)
    text += ", " + _("%(time)s down") % {"time": duration(found.down)}
    return Part("danger" if found.down / found.counted > BAD else "warning", text)


def percent_text(value: float) -> str:
    """As many digits as it has, at most three."""
    return f"{number_format(f'{value:.3f}'.rstrip('0').rstrip('.'))} %"


def share_text(share: float) -> str:
    return percent_text(round(100 * share, 2)) if share >= LEAST else f"< {percent_text(100 * LEAST)}"


def duration(time: timedelta) -> str:
    """The two largest units of it: “3 days 4 h”, “2 min 5 s”."""
    seconds = int(time.total_seconds())
    if time and not seconds:
        return _("less than a second")
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [
        (days, ngettext("%d day", "%d days", days) % days),
        (hours, _("%d h") % hours),
        (minutes, _("%d min") % minutes),
        (seconds, _("%d s") % seconds),
    ]
    first = next((index for index, (number, _text) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(text for number, text in parts[first : first + 2] if number) or parts[-1][1]


class HistoryViews(InstanceViews):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.state_history_view)
        return [path("<str:object_id>/states/", view, name="instances_instance_states"), *super().get_urls()]

    def state_history_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """``?days=``: one of PERIODS; anything else is as if nothing was said."""
        instance = self._find(request, object_id, "view_instance", "change_instance")
        asked: Any = request.GET.get("days", "")
        days = next((days for days in PERIODS if str(days) == asked), DEFAULT_DAYS)
        context = self._page(request, instance, _("History")) | {"history": history_of(instance, days)}
        return TemplateResponse(request, "admin/instances/instance/states.html", context)
