"""The one writer of an instance's observed state: each change is written down with its time."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from instances.choices import State
from instances.models import Instance, StateChange


def change_state(instance: Instance, state: State) -> bool:
    """Write the observed state, unless somebody else has done so since the row was read; whether it was written.

    No query when it is the same, otherwise one UPDATE and one INSERT.
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
        StateChange.objects.create(instance_id=instance.pk, state=state, at=now)
    instance.observed_state, instance.state_since = state, now
    return True
