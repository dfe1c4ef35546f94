"""The part of a deployer that knows addresses."""

from __future__ import annotations

from typing import Protocol

from deployers.routers.address import TcpAddress
from deployers.spec import InstanceSpec, Location


class Router(Protocol):
    """Gives every instance an address."""

    def listen(self, spec: InstanceSpec) -> TcpAddress:
        """Where the instance's server process listens."""
        ...

    def url(self, location: Location) -> str:
        """What a browser opens, with scheme and trailing slash; empty while it has no address."""
        ...

    def hosts(self, spec: InstanceSpec) -> list[str]:
        """Every name under which requests may come (Django's ALLOWED_HOSTS)."""
        ...

    def check_free(self, spec: InstanceSpec) -> None:
        """Raises PortTaken: something listens where the instance shall listen."""
        ...

    def port_is_free(self, port: int) -> bool: ...
