"""Where a server process listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address. ``host`` is an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"port {self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket, unix(7)."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


Address = TcpAddress | UnixAddress
