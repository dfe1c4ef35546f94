"""What the page of an update of many shows: how far each wave is, and which instances want a look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from instances.admin.badges import Badge, duration
from instances.choices import OperationKind, RolloutItemStatus, RolloutStatus
from instances.models import Operation, Rollout, RolloutItem
from instances.models.rollout import UNENDED
from instances.rollouts import LEFT_OUT
from instances.waves import WaveCount

MOST_LINES = 50
"""So many instances are listed for each wave, those first that want a look."""

_ORDER = {status: position for position, status in enumerate(("failed", "running", "skipped", "waiting", "updated"))}


@dataclass(frozen=True, slots=True)
class Line:
    """One instance. ``note``: why it failed, was skipped, or has not begun."""

    item: RolloutItem
    badge: Badge
    note: str
    down: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a progress bar, in percent."""

    colour: str
    percent: float


@dataclass(slots=True)
class Wave:
    """``is_current``: its instances have their turn now. ``more``: instances that are not listed."""

    number: int
    count: WaveCount
    badge: Badge
    bar: list[Segment]
    is_current: bool
    lines: list[Line] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    rollout: Rollout
    badge: Badge
    bar: list[Segment]
    total: WaveCount
    waves: list[Wave]
    left_out: list[Line]
    begins: str
    may_retry: bool
    may_resume: bool
    may_cancel: bool
    may_see_instances: bool
    may_see_operations: bool

    @property
    def number(self) -> int:
        return self.total.size + self.total.skipped

    @property
    def busy(self) -> bool:
        return self.badge["busy"] or self.total.running > 0


def rollout_badge(rollout: Any) -> Badge:
    """Reads the counts of ``rollouts.with_counts``."""
    status = RolloutStatus(rollout.status)
    total = sum(getattr(rollout, value) for value in RolloutItemStatus.values)
    done = rollout.updated + rollout.failed + rollout.skipped
    note = _("%(done)s of %(total)s") % {"done": done, "total": total}
    if status == RolloutStatus.RUNNING and not _is_due(rollout):
        return Badge(label=_("postponed"), colour="", note=note, url="", busy=False)
    return Badge(label=str(status.label), colour=status.badge, note=note, url="", busy=status == RolloutStatus.RUNNING)


def page_of(rollout: Any, request: HttpRequest) -> Page:
    """``rollout`` was read by ``rollouts.with_counts``; two queries."""
    items = list(_items(rollout))
    counts: dict[int, Counter[str]] = {}
    for item in items:
        counts.setdefault(item.wave, Counter())[item.status] += 1
    left_out = [_line(item) for item in items if item.wave == LEFT_OUT]
    counts.pop(LEFT_OUT, None)
    waves = {number: _wave(rollout, number, WaveCount(**counts[number])) for number in sorted(counts)}
    for item in sorted(items, key=lambda item: (_ORDER[item.status], item.pk)):
        if item.wave in waves:
            wave = waves[item.wave]
            if len(wave.lines) < MOST_LINES:
                wave.lines.append(_line(item))
            else:
                wave.more += 1
    total = WaveCount(**sum(counts.values(), Counter()))
    may = request.user.has_perms(["instances.change_rollout", "instances.change_instance"])
    status = RolloutStatus(rollout.status)
    return Page(
        rollout=rollout,
        badge=rollout_badge(rollout),
        bar=_bar(total),
        total=total,
        waves=list(waves.values()),
        left_out=left_out,
        begins="" if _is_due(rollout) else date_format(timezone.localtime(rollout.not_before), "DATETIME_FORMAT"),
        may_retry=may and total.failed > 0 and status in (RolloutStatus.STOPPED, RolloutStatus.FINISHED),
        may_resume=may and status == RolloutStatus.STOPPED,
        may_cancel=may and status in UNENDED and total.waiting + total.running > 0,
        may_see_instances=request.user.has_perm("instances.view_instance"),
        may_see_operations=request.user.has_perm("instances.view_operation"),
    )


def _items(rollout: Rollout) -> Any:
    """With the kind of what else each instance is busy with as ``busy_with``; one query."""
    unfinished = Operation.objects.unfinished().filter(instance=OuterRef("instance"))
    rows = RolloutItem.objects.filter(rollout=rollout).select_related("instance__domain", "operation")
    return rows.annotate(busy_with=Subquery(unfinished.values("kind")[:1])).order_by("wave", "id")


def _is_due(rollout: Rollout) -> bool:
    return rollout.not_before is None or rollout.not_before <= timezone.now()


def _wave(rollout: Rollout, number: int, count: WaveCount) -> Wave:
    is_current = number == rollout.wave and rollout.status == RolloutStatus.RUNNING and _is_due(rollout)
    if count.running or (is_current and count.waiting):
        label, colour = _("running"), "info"
    elif count.waiting:
        label, colour = _("waiting"), ""
    elif count.failed:
        label, colour = _("ended with failures"), "danger"
    elif count.updated:
        label, colour = _("updated"), "success"
    else:
        label, colour = _("skipped"), "warning"
    shown = Badge(label=label, colour=colour, note="", url="", busy=False)
    return Wave(number, count, shown, _bar(count), is_current=bool(is_current or count.running))


def _bar(count: WaveCount) -> list[Segment]:
    whole = count.size + count.skipped
    parts = (
        ("success", count.updated),
        ("danger", count.failed),
        ("warning", count.skipped),
        ("info", count.running),
    )
    return [Segment(colour, round(100 * number / whole, 2) if whole else 0) for colour, number in parts]


def _line(item: Any) -> Line:
    status = RolloutItemStatus(item.status)
    note = item.note
    if status == RolloutItemStatus.WAITING and item.busy_with:
        note = _("Busy (%(what)s). Its turn comes afterwards.") % {"what": OperationKind(item.busy_with).label}
    down = item.operation.down_seconds if item.operation is not None else None
    return Line(
        item=item,
        badge=Badge(label=str(status.label), colour=status.badge, note="", url="", busy=False),
        note=note,
        down=duration(down),
    )
