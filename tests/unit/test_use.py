"""When an instance was last used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from deployers.states import UnitState
from instances import use
from instances.choices import State
from instances.models import Instance
from tests.factories import make_installed

pytestmark = pytest.mark.django_db


def test_an_instance_to_which_somebody_is_connected_is_used_now() -> None:
    instance, other = make_installed(slug="a"), make_installed(slug="b")
    use.note([instance, other], {instance.pk: 2}, {})
    instance.refresh_from_db()
    other.refresh_from_db()
    assert instance.last_used_at is not None
    assert timezone.now() - instance.last_used_at < timedelta(minutes=1)
    assert other.last_used_at is None


@pytest.mark.parametrize(
    ("unit", "used"), [(UnitState.STARTING, True), (UnitState.RUNNING, True), (UnitState.LISTENING, False)]
)
def test_one_that_was_woken_was_used_though_its_visitor_is_gone(unit: UnitState, used: bool) -> None:
    instance = make_installed(observed_state=State.SLEEPING)
    use.note([instance], {}, {instance.pk: unit})
    instance.refresh_from_db()
    assert (instance.last_used_at is not None) == used


def test_an_hour_of_use_is_written_once_a_minute_for_all_at_once(
    django_assert_num_queries: Callable[[int], object],
) -> None:
    now = timezone.now()
    fresh = [make_installed(slug=f"f{number}", last_used_at=now - timedelta(seconds=20)) for number in range(3)]
    stale = [make_installed(slug=f"s{number}", last_used_at=now - timedelta(seconds=70)) for number in range(3)]
    rows = list(Instance.objects.all())
    connections = {row.pk: 1 for row in rows}
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        use.note(rows, connections, {})
    assert Instance.objects.filter(pk__in=[row.pk for row in stale], last_used_at__gte=now).count() == 3
    assert not Instance.objects.filter(pk__in=[row.pk for row in fresh], last_used_at__gte=now).exists()


def test_a_time_that_lies_ahead_after_the_clock_was_set_back_is_written_anew() -> None:
    instance = make_installed(last_used_at=timezone.now() + timedelta(hours=1))
    use.note([instance], {instance.pk: 1}, {})
    instance.refresh_from_db()
    assert instance.last_used_at is not None
    assert instance.last_used_at <= timezone.now()
