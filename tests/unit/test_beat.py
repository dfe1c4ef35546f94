"""Beat goes on when the clock was set back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery.beat import Scheduler

from multiinstance.beat import SteadyScheduler
from multiinstance.celery import app


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[SteadyScheduler]:
    scheduler = SteadyScheduler(app=app, schedule_filename=str(tmp_path / "schedule"), lazy=False)
    yield scheduler
    scheduler.close()


def set_clock_back(scheduler: SteadyScheduler) -> None:
    """As it looks to the scheduler: every time that it knows is an hour ahead."""
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.default_now() + timedelta(hours=1)
    scheduler._heap = None
    Scheduler.tick(scheduler)
    scheduler.distance += 3600


def test_every_task_is_due_again_within_its_interval(scheduler: SteadyScheduler) -> None:
    set_clock_back(scheduler)
    assert all(entry.is_due().next > 3000 for entry in scheduler.schedule.values())
    scheduler.tick()
    for name in app.conf.beat_schedule:
        entry = scheduler.schedule[name]
        assert entry.is_due().next <= entry.schedule.run_every.total_seconds()


def test_what_is_next_is_no_longer_an_hour_away(scheduler: SteadyScheduler) -> None:
    set_clock_back(scheduler)
    assert scheduler.tick() < 60
