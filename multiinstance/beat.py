"""Celery's beat, for machines whose clock is set."""

from __future__ import annotations

import time
from typing import Any

from celery.beat import PersistentScheduler

TOLERANCE_SECONDS = 1.0


class SteadyScheduler(PersistentScheduler):
    """Beat that goes on when the clock is set back.

    Celery's own reckons by the wall clock: set back by an hour, it sends nothing for an hour, and so nothing is looked
    after. The distance between the wall clock and one that nobody sets tells that it happened.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.distance = self._distance()
        super().__init__(*args, **kwargs)

    @staticmethod
    def _distance() -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        distance = self._distance()
        if distance < self.distance - TOLERANCE_SECONDS:
            for entry in self.schedule.values():
                entry.last_run_at = entry.default_now()
            # Celery's queue of what is next holds times of the clock from before; it is made anew then.
            self._heap = None
        self.distance = distance
        return float(super().tick(*args, **kwargs))
