"""Router ``direct``: no proxy; a browser on this machine talks to the instance's own loopback port."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployers.errors import DeployError, PortTaken
from deployers.routers.address import TcpAddress
from deployers.spec import DomainSpec, InstanceSpec, Location

LOOPBACK = "127.0.0.1"


@dataclass(eq=False)
class PortMissing(DeployError):
    """The instance was given no port."""

    instance_id: str

    def __str__(self) -> str:
        return f"Instance {self.instance_id} has no port, and on this host it needs one. Start it again to get one."


class DirectRouter:
    """See the module. A port that nobody listens on says by itself that nothing is there."""

    has_front = False

    def listen(self, spec: InstanceSpec) -> TcpAddress:
        """Raises PortMissing."""
        if spec.port is None:
            raise PortMissing(spec.id)
        return TcpAddress(LOOPBACK, spec.port)

    def front(self, spec: InstanceSpec) -> TcpAddress:
        return self.listen(spec)

    def writes(self, spec: InstanceSpec) -> tuple[Path, ...]:
        return ()

    def open_domain(self, domain: DomainSpec) -> None:
        pass

    def close_domain(self, domain: DomainSpec) -> None:
        pass

    def publish(self, spec: InstanceSpec, static: Path, major: int) -> None:
        pass

    def announce(self, spec: InstanceSpec) -> None:
        pass

    def pause(self, spec: InstanceSpec) -> None:
        pass

    def published(self) -> Sequence[tuple[Path, str]]:
        return ()

    def unpublish(self, address: Path, instance_id: str) -> None:
        pass

    def withdraw(self, spec: InstanceSpec) -> None:
        pass

    def url(self, location: Location) -> str:
        return f"http://{LOOPBACK}:{location.port}/" if location.port is not None else ""

    def hosts(self, spec: InstanceSpec) -> list[str]:
        return list(dict.fromkeys([LOOPBACK, "localhost", spec.domain, f"{spec.slug}.{spec.domain}"]))

    def check_free(self, spec: InstanceSpec) -> None:
        port = self.listen(spec).port
        if not self.port_is_free(port):
            raise PortTaken(port)

    def connections(self) -> Mapping[str, int]:
        """Not told: an instance of this host never sleeps, so nobody needs to know what keeps it awake."""
        return {}

    def port_is_free(self, port: int) -> bool:
        """Found out by binding it: with SO_REUSEADDR that fails only while somebody listens (ip(7), socket(7)).

        Raises OSError for a port that this user may not bind at all.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
        return True
