"""What a Celery worker does besides its tasks: begins with a look at its hosts, and stops between two steps."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from instances import messages

_stopping = threading.Event()


class Stopping(Exception):
    """This worker was told to stop; the operation that it runs is to be given back."""


def check() -> None:
    """Raises Stopping when this worker was told to stop."""
    if _stopping.is_set():
        raise Stopping


@worker_shutting_down.connect
def note_shutdown(**_: Any) -> None:
    _stopping.set()


def resume() -> None:
    """Forget that the worker was told to stop."""
    _stopping.clear()


@worker_ready.connect
def look_at_once(**_: Any) -> None:
    """Do not wait for beat: what a killed worker left is taken up now, and what shall run is started."""
    messages.look_after_hosts()
