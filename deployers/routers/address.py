"""Where a server process listens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address. ``host`` is an IP address."""

    host: str
    port: int
