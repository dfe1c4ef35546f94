"""When each instance was last used: what an operator looks at before an update, and why one is awake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.utils import timezone

from deployers.states import UnitState
from instances.choices import State
from instances.models import Instance

PRECISION = timedelta(minutes=1)
"""A time that is younger is not written again: who is connected for an hour costs one UPDATE in a minute."""
AWAKE = (UnitState.STARTING, UnitState.RUNNING)


def note(rows: Iterable[Instance], connections: Mapping[str, int], units: Mapping[str, UnitState]) -> None:
    """Write down which of these rows of a host are used now: one UPDATE for all of them, none if nothing is to write.

    Used is one to which somebody is connected, and one that has just been woken, since its visitor may be gone again.
    """
    now = timezone.now()
    used = [row.pk for row in rows if _is_used(row, connections, units) and _is_old(row, now)]
    if used:
        Instance.objects.filter(pk__in=used).update(last_used_at=now)


def _is_used(row: Instance, connections: Mapping[str, int], units: Mapping[str, UnitState]) -> bool:
    woken = row.observed_state == State.SLEEPING and units.get(row.id) in AWAKE
    return woken or connections.get(row.id, 0) > 0


def _is_old(row: Instance, now: datetime) -> bool:
    return row.last_used_at is None or abs(now - row.last_used_at) >= PRECISION
