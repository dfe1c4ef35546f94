"""Updates of many instances to one version, in waves: the next wave begins when enough of the last one went well.

All that is decided is decided by the rows, in short transactions that hold the rollout's row. So it does no harm when
two workers go on with it at once, or when one dies in between: an instance and its operation are written together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from instances import messages, operations
from instances.choices import Outcome, RolloutItemStatus, RolloutStatus
from instances.errors import (
    ActionLocked,
    CannotCancel,
    NothingToUpdate,
    OperationRefused,
    OperationRunning,
    RolloutRefused,
)
from instances.models import ActionLock, Instance, Operation, Rollout, RolloutItem, Version
from instances.models.rollout import UNENDED
from instances.operations.ending import said_by
from instances.operations.filing import refuse_unusable
from instances.waves import Verdict, WaveCount, judge, normalized, sizes

logger = logging.getLogger(__name__)

LEFT_OUT = 0
"""The wave of those that could not be updated when the rollout was begun."""
DEFAULT_WAVES = "1,5,20%"
DEFAULT_FAILURE_PERCENT = 10
NAMES = 10
"""So many instances are named in a reason."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: the instances of each wave, and those that are left out, with the reason."""

    waves: list[list[Instance]]
    left_out: list[tuple[Instance, str]]


def plan(version: Version, instances: Iterable[Instance], wanted_waves: str = DEFAULT_WAVES) -> Plan:
    """Divide the instances into waves, in their order; one query. They are read with host, domain and version.

    One that is busy is no exception: its turn comes when it is not. Raises VersionRefused, WavesRefused.
    """
    refuse_unusable(version)
    chosen = list({instance.pk: instance for instance in instances}.values())
    locks = {
        lock.instance_id: lock for lock in ActionLock.objects.filter(action="update").select_related("instance__domain")
    }
    able, left_out = [], []
    for instance in chosen:
        try:
            operations.check_update(instance, version)
            if instance.pk in locks:
                raise ActionLocked(locks[instance.pk])
        except OperationRunning:
            able.append(instance)
        except OperationRefused as refused:
            left_out.append((instance, str(refused)))
        else:
            able.append(instance)
    divided, begin_at = [], 0
    for size in sizes(wanted_waves, len(able)):
        divided.append(able[begin_at : begin_at + size])
        begin_at += size
    return Plan(divided, left_out)


def begin(
    version: Version,
    instances: Iterable[Instance],
    request: operations.Request,
    waves: str = DEFAULT_WAVES,
    failure_percent: int = DEFAULT_FAILURE_PERCENT,
    not_before: datetime | None = None,
) -> Rollout:
    """Write what is to be done; the first wave begins at once, or at its time.

    Raises VersionRefused, WavesRefused, NothingToUpdate; ValidationError for a share that is none.
    """
    planned = plan(version, instances, waves)
    if not planned.waves:
        raise NothingToUpdate(version, [reason for _instance, reason in planned.left_out])
    rollout = Rollout(
        version=version,
        waves=normalized(waves),
        failure_percent=failure_percent,
        not_before=not_before or request.not_before,
        requested_by=request.user,
        requested_via=request.via,
    )
    rollout.full_clean()
    items = [
        RolloutItem(rollout=rollout, instance=instance, wave=number)
        for number, members in enumerate(planned.waves, 1)
        for instance in members
    ]
    items += [
        RolloutItem(rollout=rollout, instance=instance, wave=LEFT_OUT, status=RolloutItemStatus.SKIPPED, note=reason)
        for instance, reason in planned.left_out
    ]
    with transaction.atomic():
        rollout.save()
        RolloutItem.objects.bulk_create(items, batch_size=500)
        messages.advance_rollouts()
    return rollout


def advance() -> None:
    """Go on with every rollout: write what came of its updates, and ask for those whose turn it is."""
    read_outcomes()
    due = Rollout.objects.filter(status=RolloutStatus.RUNNING).exclude(not_before__gt=timezone.now())
    for rollout_id in list(due.order_by("id").values_list("pk", flat=True)):
        try:
            while _go_on(rollout_id):
                pass
        except Exception:
            # The others go on; this one is tried again in a moment.
            logger.exception("The update of many with the number %s cannot go on now.", rollout_id)


def resume(rollout: Rollout, *, retry_failed: bool) -> Rollout:
    """Go on after a stop, with the rest of the wave that was stopped as the next one.

    ``retry_failed``: that wave begins with those that failed; also possible when all the others are updated.
    Raises RolloutRefused, VersionRefused.
    """
    with _held(rollout.pk, RolloutStatus.STOPPED, RolloutStatus.FINISHED) as held:
        if held is None:
            rollout.refresh_from_db()
            raise RolloutRefused(rollout, _why_not_resumed(rollout))
        refuse_unusable(held.version)
        failed = held.items.filter(status=RolloutItemStatus.FAILED)
        waiting = held.items.filter(status=RolloutItemStatus.WAITING)
        tries = retry_failed and failed.exists()
        if held.status == RolloutStatus.FINISHED and not tries:
            raise RolloutRefused(held, _("All instances had their turn, and none failed. Nothing is left to be done."))
        if tries or waiting.filter(wave=held.wave).exists():
            waiting.update(wave=F("wave") + 1)
        if tries:
            failed.update(status=RolloutItemStatus.WAITING, wave=held.wave + 1, operation=None, note="")
        held.status, held.reason, held.finished_at = RolloutStatus.RUNNING, "", None
        held.save(update_fields=["status", "reason", "finished_at"])
        _begin_next_wave(held)
        messages.advance_rollouts()
        return held


def cancel(rollout: Rollout, request: operations.Request) -> Rollout:
    """Begin no further update. Those that run come to their end; those that only wait for a worker do not begin.

    Raises RolloutRefused.
    """
    with _held(rollout.pk, *UNENDED) as held:
        if held is None:
            rollout.refresh_from_db()
            raise RolloutRefused(rollout, _("The update of many has ended already."))
        held.items.filter(status=RolloutItemStatus.WAITING).update(
            status=RolloutItemStatus.SKIPPED, note=_("The update of many was cancelled before its turn.")
        )
        held.status, held.finished_at, held.reason = RolloutStatus.CANCELLED, timezone.now(), said_by(request)
        held.save(update_fields=["status", "finished_at", "reason"])
    asked = Operation.objects.filter(rollout_items__rollout=held, status=Outcome.QUEUED)
    for operation in asked.select_related("instance__domain", "version"):
        try:
            operations.cancel(operation, request)
        except CannotCancel as refused:
            logger.info("Operation %s of the cancelled update of many ends by itself: %s", operation.pk, refused)
    read_outcomes()
    return held


def with_counts(found: QuerySet[Rollout]) -> QuerySet[Rollout]:
    """With how many of its instances are in which status, as ``waiting``, ``running``, ``updated``, …; no more queries.

    What was left out from the beginning is in ``left_out`` and not in ``skipped``.
    """
    in_waves = Q(items__wave__gt=LEFT_OUT)
    counts = {
        value: Count("items", filter=Q(items__status=value) & in_waves, distinct=True)
        for value in RolloutItemStatus.values
    }
    return found.annotate(**counts, left_out=Count("items", filter=~in_waves & Q(items__isnull=False), distinct=True))


def count(rollout: Rollout, wave: int) -> WaveCount:
    """One query."""
    rows = RolloutItem.objects.filter(rollout=rollout, wave=wave).order_by()
    return WaveCount(**dict(rows.values_list("status").annotate(Count("pk"))))


def read_outcomes() -> None:
    """Write down what came of the updates that have ended; one query when none has."""
    ended = RolloutItem.objects.filter(status=RolloutItemStatus.RUNNING).filter(
        Q(operation=None) | Q(operation__finished_at__isnull=False)
    )
    for item in ended.select_related("operation", "instance", "rollout"):
        status, note = _outcome(item)
        # What somebody else wrote meanwhile, for example that it is tried again, stays.
        RolloutItem.objects.filter(pk=item.pk, status=RolloutItemStatus.RUNNING, operation=item.operation).update(
            status=status, note=note
        )


def _outcome(item: RolloutItem) -> tuple[RolloutItemStatus, str]:
    operation = item.operation
    if operation is None:
        if item.instance.version_id == item.rollout.version_id:
            return RolloutItemStatus.UPDATED, ""
        return RolloutItemStatus.FAILED, _("The record of its update was deleted.")
    if operation.status == Outcome.SUCCEEDED:
        return RolloutItemStatus.UPDATED, ""
    if operation.status == Outcome.CANCELLED and item.rollout.status == RolloutStatus.CANCELLED:
        return RolloutItemStatus.SKIPPED, operation.error
    if operation.failed_step:
        # Of a program's output the last line says what it was; the operation has all of it.
        last_line = (operation.error.strip().splitlines() or [""])[-1].strip()
        return RolloutItemStatus.FAILED, _("Failed at the step “%(step)s”: %(error)s") % {
            "step": operation.failed_step,
            "error": last_line,
        }
    # Also one that somebody cancelled: who does that has seen something that is not as it should be.
    return RolloutItemStatus.FAILED, operation.error


@contextmanager
def _held(rollout_id: int, *statuses: RolloutStatus) -> Iterator[Rollout | None]:
    """The rollout, which nobody else changes until the end of the block; None if it is in none of the statuses."""
    with transaction.atomic():
        # An UPDATE that changes nothing: it waits for others on PostgreSQL and on SQLite, which has no row locks.
        found = Rollout.objects.filter(pk=rollout_id, status__in=statuses).update(wave=F("wave"))
        yield Rollout.objects.select_related("version").get(pk=rollout_id) if found else None


def _go_on(rollout_id: int) -> bool:
    """One thing: an update, the next wave, or the end. Whether there may be more to do now."""
    with _held(rollout_id, RolloutStatus.RUNNING) as rollout:
        if rollout is None:
            return False
        wave = count(rollout, rollout.wave)
        verdict = judge(wave, rollout.failure_percent)
        if not rollout.version.enabled and verdict in (Verdict.FILE, Verdict.NEXT):
            verdict = Verdict.WAIT if wave.running else Verdict.STOP
        match verdict:
            case Verdict.FILE:
                return _file_next(rollout)
            case Verdict.NEXT:
                return _begin_next_wave(rollout)
            case Verdict.STOP:
                _stop(rollout, wave)
        return False


def _file_next(rollout: Rollout) -> bool:
    """Ask for the update of the next instance that is not busy. Whether there was one.

    A host gets no more of them than it runs at once: whoever asks for something else does not wait for all of them,
    and a wave that goes wrong is noticed while most of it still waits.
    """
    updating = RolloutItem.objects.filter(status=RolloutItemStatus.RUNNING).order_by()
    hosts = updating.values_list("instance__host").annotate(number=Count("pk"))
    full = [host_id for host_id, number in hosts if number >= settings.OPERATIONS_AT_ONCE]
    busy = Operation.objects.unfinished().filter(instance=OuterRef("instance"))
    waiting = (
        rollout.items.filter(wave=rollout.wave, status=RolloutItemStatus.WAITING)
        .exclude(Exists(busy))
        .exclude(instance__host__in=full)
    )
    item = waiting.select_related("instance__host", "instance__domain", "instance__version").order_by("id").first()
    if item is None:
        return False
    request = operations.Request(via=rollout.requested_via, user=rollout.requested_by)  # type: ignore[arg-type]
    try:
        operation = operations.update(item.instance, rollout.version, request)
    except OperationRunning as refused:
        logger.info("%s waits for its turn in the update of many: %s", item.instance, refused)
        return False
    except OperationRefused as refused:
        _skip(rollout, item, str(refused))
        return True
    item.status, item.operation, item.note = RolloutItemStatus.RUNNING, operation, ""
    item.save(update_fields=["status", "operation", "note"])
    return True


def _skip(rollout: Rollout, item: RolloutItem, reason: str) -> None:
    """The first one of the waves to come takes its place: a wave of none would try nothing out."""
    item.status, item.note = RolloutItemStatus.SKIPPED, reason
    item.save(update_fields=["status", "note"])
    later = rollout.items.filter(status=RolloutItemStatus.WAITING, wave__gt=rollout.wave)
    following = later.order_by("wave", "id").first()
    if following is not None:
        following.wave = rollout.wave
        following.save(update_fields=["wave"])


def _begin_next_wave(rollout: Rollout) -> bool:
    """Or end, if there is none. Whether there is one."""
    waiting = rollout.items.filter(status=RolloutItemStatus.WAITING)
    following = waiting.aggregate(wave=Min("wave"))["wave"]
    if following is None:
        rollout.status, rollout.finished_at = RolloutStatus.FINISHED, timezone.now()
        rollout.save(update_fields=["status", "finished_at"])
        return False
    rollout.wave = following
    rollout.save(update_fields=["wave"])
    return True


def _stop(rollout: Rollout, wave: WaveCount) -> None:
    if wave.failed * 100 > rollout.failure_percent * wave.size:
        reason = _failures(rollout, wave)
    else:
        reason = _("%(version)s is not enabled any more.") % {"version": rollout.version}
    rollout.status, rollout.reason = RolloutStatus.STOPPED, reason
    rollout.save(update_fields=["status", "reason"])
    logger.warning("The update of many to %s has stopped: %s", rollout.version, reason)


def _failures(rollout: Rollout, wave: WaveCount) -> str:
    failed = rollout.items.filter(wave=rollout.wave, status=RolloutItemStatus.FAILED)
    names = [str(item.instance) for item in failed.select_related("instance__domain")[: NAMES + 1]]
    listed = ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")
    text = ngettext(
        "%(failed)s of %(size)s instance in wave %(wave)s failed; %(percent)s percent are allowed. Failed: %(names)s",
        "%(failed)s of %(size)s instances in wave %(wave)s failed; %(percent)s percent are allowed. Failed: %(names)s",
        wave.size,
    )
    return text % {
        "failed": wave.failed,
        "size": wave.size,
        "wave": rollout.wave,
        "percent": rollout.failure_percent,
        "names": listed,
    }


def _why_not_resumed(rollout: Rollout) -> str:
    if rollout.status == RolloutStatus.RUNNING:
        return _("It is running.")
    return _("It was cancelled. Begin another one with the instances that are left.")
