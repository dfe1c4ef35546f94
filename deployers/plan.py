"""A plan is data: an ordered tuple of steps that one runner executes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

Log = Callable[[str], None]
"""Takes one piece of text (a line, or some) that an operator may want to read."""

Action = Callable[[Log], None]

STEP_SECONDS = 3600.0
"""No step takes longer, unless it says so: what it waits for is ended then, and the step fails."""


class Serving(Enum):
    """What a step changes for the people who use the instance."""

    ENDS = "ends"
    """From the beginning of this step on OpenSlides does not answer."""
    RETURNS = "returns"
    """When this step is done, it answers again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One idempotent change of a host.

    ``do`` may be run again at any time, also after it was interrupted half way; it raises
    :class:`deployers.errors.DeployError` (or OSError) when it cannot be done. ``undo`` takes back
    what ``do`` made, completely or half; it must not fail when there is nothing to take back.

    ``seconds``: its time-out. ``final``: from its beginning on there is no way back, so the operation cannot be
    cancelled any more. ``serving``: for the measurement of the downtime.
    """

    name: str
    do: Action
    undo: Action | None = None
    seconds: float = STEP_SECONDS
    final: bool = False
    serving: Serving | None = None


Plan = tuple[Step, ...]
