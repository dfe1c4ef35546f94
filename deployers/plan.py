"""A plan is data: an ordered tuple of steps that one runner executes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[str], None]
"""Takes one piece of text (a line, or some) that an operator may want to read."""

Action = Callable[[Log], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One idempotent change of a host.

    ``do`` may be run again at any time, also after it was interrupted half way; it raises
    :class:`deployers.errors.DeployError` (or OSError) when it cannot be done. ``undo`` takes back
    what ``do`` made, completely or half; it must not fail when there is nothing to take back.
    """

    name: str
    do: Action
    undo: Action | None = None


Plan = tuple[Step, ...]
