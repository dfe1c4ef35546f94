"""Badges, links and times as the lists and pages show them. Everything is escaped here."""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired, TypedDict

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from instances.choices import OperationKind, Outcome, Preparation, State
from instances.models import Host, Instance, Operation, Version

REACHABLE = (State.ACTIVE, State.SLEEPING, State.STOPPED)
"""States in which the link to an instance is shown."""


class Badge(TypedDict):
    """What a badge shows: ``colour`` as in :attr:`State.badge`, ``note`` beside it, ``url`` where there is a link.

    ``attention``: why a second badge says that somebody must look; an empty text hides it.
    """

    label: str
    colour: str
    note: str
    url: str
    busy: bool
    attention: NotRequired[str]


def badge(label: str, colour: str, *, live_id: object = "", note: str = "", attention: str | None = None) -> SafeString:
    """``live_id``: the row's primary key, by which the page's script finds the badge again.

    ``attention``: as in :class:`Badge`; None where no row can need it.
    """
    second = SafeString("")
    if attention is not None:
        second = format_html(
            '<span class="mi-badge" data-colour="warning" data-live-attention title="{}"{}>{}</span>',
            attention,
            SafeString("" if attention else " hidden"),
            _("needs attention"),
        )
    return format_html(
        '<span class="mi-state"{}><span class="mi-badge" data-colour="{}">{}</span>'
        '<span class="mi-note">{}</span>{}</span>',
        format_html(' data-live-id="{}"', live_id) if live_id else "",
        colour,
        label,
        note,
        second,
    )


def address_of(instance: Instance) -> str:
    """The instance's address where following it makes sense now, else an empty text."""
    if instance.removed_at is not None or instance.state not in REACHABLE:
        return ""
    return instance.url


def link_to(url: str) -> SafeString:
    """The link to an instance, in a new tab. Hidden while there is no address; the page's script shows it later."""
    shown = url.removeprefix("https://").removeprefix("http://").rstrip("/")
    return format_html(
        '<a class="mi-link" target="_blank" rel="noopener noreferrer" data-live-link{}>'
        '<span class="mi-link-text">{}</span>'
        '<span class="material-symbols-outlined" aria-hidden="true">open_in_new</span></a>',
        format_html(' href="{}"', url) if url else SafeString(" hidden"),
        shown,
    )


def instance_badge(instance: Instance) -> Badge:
    """Reads ``operation_kind`` (``with_operation``), ``host``, ``domain``, ``version``, ``projector_logo``."""
    kind = getattr(instance, "operation_kind", None)
    note = (
        {
            OperationKind.START: _("is being started"),
            OperationKind.STOP: _("is being stopped"),
        }.get(kind, "")
        if kind
        else ""
    )
    if instance.removed_at is not None:
        return Badge(label=_("removed"), colour="", note="", url="", busy=False)
    return Badge(
        label=str(instance.state.label),
        colour=instance.state.badge,
        note=note,
        url=address_of(instance),
        busy=bool(kind) or instance.state == State.STARTING,
        attention=instance.attention,
    )


def operation_badge(operation: Operation) -> Badge:
    outcome = Outcome(operation.status)
    return Badge(label=str(outcome.label), colour=outcome.badge, note="", url="", busy=not outcome.is_final)


def preparation_badge(version: Version) -> Badge:
    preparation = Preparation(version.preparation)
    busy = preparation == Preparation.PREPARING
    return Badge(label=str(preparation.label), colour=preparation.badge, note="", url="", busy=busy)


def host_badge(host: Host) -> Badge:
    if host.last_seen is None:
        return Badge(label=_("never heard of"), colour="warning", note="", url="", busy=False)
    if host.is_heard:
        return Badge(label=_("heard"), colour="success", note="", url="", busy=False)
    return Badge(label=_("not heard"), colour="danger", note=ago(host.last_seen), url="", busy=False)


def ago(moment: datetime) -> str:
    """“3 minutes ago”; the two largest units at most."""
    if (timezone.now() - moment).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}


def duration(seconds: float | None) -> str:
    """“0.4 s”, “12 s”, “3 min 05 s”; an empty text for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
