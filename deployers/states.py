"""What a host says of an instance's service, in words that every service manager can be mapped to."""

from __future__ import annotations

from enum import StrEnum


class UnitState(StrEnum):
    """The state of one instance's service as the host sees it."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    LISTENING = "listening"
    """Nothing runs, but a socket listens: the first request starts the instance."""
    FAILED = "failed"
    STOPPED = "stopped"
    """The service is known and does not run, or it is not known at all."""
