"""Ends what a step does, from another thread: an operation that is cancelled, and a step that takes too long.

A step never has to think of it. The two places in which steps spend their time ask: ``deployers/commands.py`` ends the
program that it runs, and everything that waits for something does it with :func:`sleep`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deployers.errors import DeployError

_current: ContextVar[Interruption | None] = ContextVar("interruption", default=None)


class Interrupted(DeployError):
    """The step was ended from outside; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return self.reason


class Interruption:
    """The bell of one step: rung at most once, by anybody."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.reason = ""

    def ring(self, reason: str) -> None:
        """End what the step does now."""
        with self._lock:
            if self._rung.is_set():
                return
            self.reason = reason
            self._rung.set()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def check(self) -> None:
        """Raises Interrupted."""
        if self._rung.is_set():
            raise Interrupted(self.reason)

    def wait(self, seconds: float) -> None:
        """Raises Interrupted."""
        self._rung.wait(seconds)
        self.check()

    @contextmanager
    def calls(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call ``listener`` (in the thread of whoever rings) when it rings inside of this block."""
        with self._lock:
            rung = self._rung.is_set()
            self._listeners.append(listener)
        try:
            if rung:
                listener()
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)


@contextmanager
def during(interruption: Interruption | None) -> Iterator[None]:
    """What this thread does inside of the block can be ended by ``interruption``; with None by nobody."""
    token = _current.set(interruption)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Interruption | None:
    return _current.get()


def check() -> None:
    """Raises Interrupted when the step that this thread runs was ended."""
    interruption = _current.get()
    if interruption is not None:
        interruption.check()


def sleep(seconds: float) -> None:
    """Wait, but not longer than the step lives. Raises Interrupted."""
    interruption = _current.get()
    if interruption is None:
        time.sleep(seconds)
    else:
        interruption.wait(seconds)
