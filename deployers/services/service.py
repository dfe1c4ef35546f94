"""The part of a deployer that knows processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployers.states import UnitState


@dataclass(frozen=True)
class Service:
    """The process of one instance. ``env`` is its whole environment; ``log`` takes all that it prints.

    What follows is for service managers that let an instance sleep. ``engine``: which units run it. ``version_path``:
    the URL path that tells that OpenSlides answers. ``idle_seconds``: how long nobody uses an instance before it
    sleeps; ``always_on``: it does not. ``stop``: a command that ends it, ``cleanup``: one that takes away what a killed
    one leaves; empty if none is needed. ``asked``: what of all this somebody has asked for; the rest is how the host
    runs it by now.
    """

    instance_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    engine: str = ""
    version_path: str = "/"
    idle_seconds: float = 0.0
    always_on: bool = False
    asked: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()


class ServiceManager(Protocol):
    """Every method may be called again after it was interrupted, and raises ServiceManagerUnreachable.

    ``sleeps``: a started instance need not run; its first request wakes it.
    """

    @property
    def sleeps(self) -> bool: ...

    def register(self, service: Service) -> None:
        """Make the service known as it is described here. Starts nothing.

        One that runs otherwise is stopped; a service manager that ``sleeps`` stops it only if something else was asked
        for, and lets the rest count from its next start on.
        """
        ...

    def start(self, instance_id: str) -> None:
        """Start a registered service, if it does not run; does not wait for it. Raises ServiceRefused."""
        ...

    def stop(self, instance_id: str) -> None:
        """Stop the service and wait until it is gone. One that is not known is stopped."""
        ...

    def remove(self, instance_id: str) -> None:
        """Stop the service and forget it. Works also while no service manager runs."""
        ...

    def has_given_up(self, instance_id: str) -> bool:
        """Whether a service that was started does not run and will not be tried again."""
        ...

    def log_tail(self, instance_id: str) -> str:
        """The last lines that the service printed."""
        ...

    def state(self, instance_id: str) -> UnitState: ...

    def registered(self) -> Collection[str]:
        """The ids of all instances of which a service is here, or anything that ``remove`` takes away.

        Raises ServiceManagerUnreachable.
        """
        ...

    def states(self) -> dict[str, UnitState]: ...
