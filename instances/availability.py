"""How long an instance was in which state, and the share of the time in which it answered when it was wanted to.

Counted is the time in which an instance was wanted active and there was something to answer: before its creation has
ended, while it is stopped on purpose, while it is being removed, and where nobody looked (its host was not heard of),
nothing is counted. Of what is counted, ``active`` and ``sleeping`` are available: a sleeping one answers the first
request, and so its waking is available, too, if it does wake. All else is an outage, updates and other starts included:
a visitor sees a page that asks for patience.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import floor
from typing import Any

from django.utils import timezone

from instances.choices import Desired, State
from instances.models import Instance, StateChange

ANSWERING = frozenset({State.ACTIVE, State.SLEEPING})
OUTAGE = frozenset({State.STARTING, State.STOPPED, State.ERROR, State.UPDATING, State.UPDATE_FAILED})
NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A state that held without a break. ``wanted``: of the operator, at that time. ``wakes``: it was asleep before."""

    state: State
    wanted: Desired
    since: datetime
    until: datetime
    wakes: bool = False

    @property
    def lasted(self) -> timedelta:
        return self.until - self.since

    @property
    def is_available(self) -> bool:
        return self.wanted == Desired.ACTIVE and (self.wakes or self.state in ANSWERING)

    @property
    def is_outage(self) -> bool:
        return self.wanted == Desired.ACTIVE and self.state in OUTAGE and not self.wakes

    def within(self, since: datetime, until: datetime) -> Span:
        """The part of it between two times; it lasts no time if there is none."""
        begin = min(max(self.since, since), until)
        return replace(self, since=begin, until=max(begin, min(self.until, until)))


@dataclass(frozen=True, slots=True)
class Availability:
    """The figures of a time. ``outages``: how many there were; states of an outage that follow each other are one."""

    available: timedelta
    down: timedelta
    outages: int

    @property
    def counted(self) -> timedelta:
        return self.available + self.down

    @property
    def share(self) -> float | None:
        """From 0 to 1; None if nothing is counted."""
        return self.available / self.counted if self.counted else None

    @property
    def percent(self) -> float | None:
        """Rounded down to a thousandth: what was not there all the time is never called 100."""
        return None if self.share is None else floor(self.share * 100_000) / 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one instance in a time. ``pk``: the instance's. ``since``: of the first thing that is known."""

    pk: str
    since: datetime | None
    until: datetime | None
    figures: Availability
    times: dict[State, timedelta]

    @property
    def document(self) -> dict[str, Any]:
        """For JSON: times in ISO 8601, durations in seconds, ``availability`` in percent."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "availability": self.figures.percent,
            "available_seconds": seconds(self.figures.available),
            "outage_seconds": seconds(self.figures.down),
            "outages": self.figures.outages,
            "seconds_by_state": {state.value: seconds(time) for state, time in self.times.items()},
        }


def seconds(time: timedelta) -> float:
    """To the millisecond."""
    return round(time.total_seconds(), 3)


def report(instance: Instance, days: float) -> Report:
    """Of the last ``days``; two queries."""
    spans = spans_of(instance, days)
    since, until = (spans[0].since, spans[-1].until) if spans else (None, None)
    return Report(instance.pk, since, until, figures(spans), times(spans))


def spans_of(instance: Instance, days: float) -> list[Span]:
    """What became of an instance in the last ``days``, the oldest first; two queries.

    Begins with the first thing that is known; ends with its removal.
    """
    now = timezone.now()
    since, until = now - timedelta(days=days), min(instance.removed_at or now, now)
    changes = instance.state_changes.order_by("at", "id")
    before = changes.filter(at__lte=since).reverse()[:1]
    inside = changes.filter(at__gt=since, at__lt=until)
    return [span.within(since, until) for span in _spans([*before, *inside], until)] if since < until else []


def _spans(changes: list[StateChange], until: datetime) -> Iterator[Span]:
    befores = [None, *changes]
    afters = [*changes[1:], None]
    for before, change, after in zip(befores, changes, afters, strict=False):
        end = until if after is None else max(change.at, after.at)
        wakes = change.state == State.STARTING and before is not None and before.state == State.SLEEPING
        answers = after is None or after.state in ANSWERING
        yield Span(State(change.state), Desired(change.wanted), change.at, end, wakes and answers)


def figures(spans: Iterable[Span]) -> Availability:
    """Of spans that follow each other."""
    available, down, outages, is_out = NOTHING, NOTHING, 0, False
    for span in spans:
        if span.is_available:
            available += span.lasted
        elif span.is_outage and span.lasted:
            down += span.lasted
            outages += not is_out
        is_out = span.is_outage if span.lasted else is_out
    return Availability(available, down, outages)


def times(spans: Iterable[Span]) -> dict[State, timedelta]:
    """The time in each state, the longest first."""
    found: dict[State, timedelta] = {}
    for span in spans:
        found[span.state] = found.get(span.state, NOTHING) + span.lasted
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def slices(spans: list[Span], since: datetime, length: timedelta, count: int) -> list[list[Span]]:
    """The spans cut into ``count`` times of the same length, which follow each other from ``since`` on."""
    cut: list[list[Span]] = [[] for _ in range(count)]
    for span in spans:
        first, last = max(0, (span.since - since) // length), min(count - 1, (span.until - since) // length)
        for number in range(first, last + 1):
            begin = since + number * length
            if (part := span.within(begin, begin + length)).lasted:
                cut[number].append(part)
    return cut
