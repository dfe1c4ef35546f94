"""The one writer of an instance's observed state: each change is written down with its time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from instances.choices import State
from instances.models import Host, Instance, StateChange


def change_state(instance: Instance, state: State) -> bool:
    """Write the observed state, unless somebody else has done so since the row was read; whether it was written.

    No query when it is the same, otherwise one UPDATE, one SELECT and one INSERT.
    """
    if state == instance.observed_state:
        return False
    now = timezone.now()
    with transaction.atomic():
        changed = Instance.objects.filter(pk=instance.pk, observed_state=instance.observed_state).update(
            observed_state=state, state_since=now
        )
        if changed != 1:
            return False
        # What was wanted when the row was read may be over by now.
        wanted = Instance.objects.values_list("desired_state", flat=True).get(pk=instance.pk)
        StateChange.objects.create(instance_id=instance.pk, state=state, wanted=wanted, at=now)
    instance.observed_state, instance.state_since = state, now
    return True


def note_wanted(instance: Instance) -> None:
    """Write down that another state is wanted, while the observed one stays as it is: one INSERT."""
    StateChange.objects.create(
        instance_id=instance.pk, state=instance.observed_state, wanted=instance.desired_state, at=timezone.now()
    )


def note_silence(host: Host, instances: Iterable[Instance]) -> None:
    """Write down that nobody looked at these instances of the host since it was heard of: one INSERT, if that is so."""
    now = timezone.now()
    if host.is_heard or host.last_seen is None or host.last_seen > now:
        return
    StateChange.objects.bulk_create(
        StateChange(instance_id=row.pk, state=state, wanted=row.desired_state, at=at)
        for row in instances
        if row.is_installed
        for state, at in ((State.UNKNOWN, host.last_seen), (State(row.observed_state), now))
    )


def prune() -> None:
    """Forget changes that are older than STATE_HISTORY_DAYS, but for each instance's last one before that."""
    if not settings.STATE_HISTORY_DAYS:
        return
    old = StateChange.objects.filter(at__lt=timezone.now() - timedelta(days=settings.STATE_HISTORY_DAYS))
    last = old.filter(instance=OuterRef("instance")).order_by("-at", "-id").values("pk")[:1]
    old.exclude(pk=Subquery(last)).delete()
