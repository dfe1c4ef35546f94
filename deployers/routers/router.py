"""The part of a deployer that knows addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deployers.routers.address import Address
from deployers.spec import DomainSpec, InstanceSpec, Location


class Router(Protocol):
    """Gives every instance an address. ``has_front``: a web server stands in front, to which domains and instances are
    made known, and which sends uploaded files by itself."""

    @property
    def has_front(self) -> bool: ...

    def listen(self, spec: InstanceSpec) -> Address:
        """Where the instance's server process listens."""
        ...

    def front(self, spec: InstanceSpec) -> Address:
        """Where the instance is asked whether it is ready: at what wakes it, where it may sleep."""
        ...

    def writes(self, spec: InstanceSpec) -> tuple[Path, ...]:
        """The directories in which the server process makes what it listens on."""
        ...

    def url(self, location: Location) -> str:
        """What a browser opens, with scheme and trailing slash; empty while it has no address."""
        ...

    def hosts(self, spec: InstanceSpec) -> list[str]:
        """Every name under which requests may come (Django's ALLOWED_HOSTS)."""
        ...

    def check_free(self, spec: InstanceSpec) -> None:
        """Raises PortTaken, or another DeployError: something is in the way where the instance shall listen."""
        ...

    def open_domain(self, domain: DomainSpec) -> None:
        """Let requests for names below the domain arrive, if they do not yet. Raises DomainRefused."""
        ...

    def close_domain(self, domain: DomainSpec) -> None:
        """Let them arrive no more. Raises DomainRefused."""
        ...

    def publish(self, spec: InstanceSpec, static: Path, major: int) -> None:
        """Let the address lead to the instance, with the static files of its version of OpenSlides ``major``."""
        ...

    def announce(self, spec: InstanceSpec) -> None:
        """Say at the address that the instance is being updated, until it is published or paused again."""
        ...

    def pause(self, spec: InstanceSpec) -> None:
        """Say at the address that the instance is inactive."""
        ...

    def withdraw(self, spec: InstanceSpec) -> None:
        """The address leads nowhere any more."""
        ...

    def published(self) -> Sequence[tuple[Path, str]]:
        """Every address that is made of a link, and the id of the instance that it leads to."""
        ...

    def unpublish(self, address: Path, instance_id: str) -> None:
        """Take such a link away, if it still leads to that instance."""
        ...

    def connections(self) -> Mapping[str, int]:
        """How many connections are open to each instance now, by its id; without those that have none.

        One read for the whole host; empty where the host cannot tell.
        """
        ...

    def port_is_free(self, port: int) -> bool: ...
