"""Through which mail relay an instance sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mail:
    """``host`` and ``port`` of the relay; None leaves OpenSlides' default. ``socket``: a unix socket that leads there,
    for instances that have no network."""

    host: str | None = None
    port: int = 25
    socket: Path | None = None
