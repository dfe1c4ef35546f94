"""How many instances an update of many takes at a time, and whether it goes on. Nothing here reads or writes rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from django.utils.translation import gettext as _

from instances.errors import WavesRefused

MOST_PARTS = 20
_PART = re.compile(r"(?P<number>[0-9]{1,6})(?P<percent>%?)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCount:
    """How many instances of one wave are in which status."""

    waiting: int = 0
    running: int = 0
    updated: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def size(self) -> int:
        """Those that are updated, or were to be. What was skipped says nothing about the new version."""
        return self.waiting + self.running + self.updated + self.failed

    @property
    def ended(self) -> int:
        return self.updated + self.failed + self.skipped


class Verdict(Enum):
    """What to do with the wave that runs."""

    FILE = "file what waits"
    WAIT = "wait for what runs"
    NEXT = "begin the next wave"
    STOP = "stop: too many failed"


def judge(wave: WaveCount, failure_percent: int) -> Verdict:
    """``failure_percent``: of the wave, that many may fail. Once it is clear that more do, nothing new is begun."""
    if wave.failed * 100 > failure_percent * wave.size:
        return Verdict.WAIT if wave.running else Verdict.STOP
    if wave.waiting:
        return Verdict.FILE
    return Verdict.WAIT if wave.running else Verdict.NEXT


def sizes(waves: str, number: int) -> list[int]:
    """How many of ``number`` instances each wave takes: ``1,5,20%`` of 60 are 1, 5, 12, 12, 12, 12 and 6.

    The last part is repeated. A percentage is one of all, rounded up. Raises WavesRefused.
    """
    wanted = _wanted(_parts(waves), number)
    found, left = [], number
    while left > 0:
        size = min(next(wanted), left)
        found.append(size)
        left -= size
    return found


def normalized(waves: str) -> str:
    """As it is stored, without blanks. Raises WavesRefused."""
    return ",".join(f"{size}{'%' if percent else ''}" for size, percent in _parts(waves))


def _wanted(parts: list[tuple[int, bool]], number: int) -> Iterator[int]:
    while True:
        for size, percent in parts:
            yield -(-number * size // 100) if percent else size
        parts = parts[-1:]


def _parts(waves: str) -> list[tuple[int, bool]]:
    """Numbers, and whether each is a percentage."""
    words = "".join(waves.split()).split(",")
    if len(words) > MOST_PARTS:
        raise WavesRefused(
            _("These are more than %(number)s waves. The last one is repeated.") % {"number": MOST_PARTS}
        )
    parts = []
    for word in words:
        match = _PART.match(word)
        if match is None:
            raise WavesRefused(
                _("Write numbers of instances or percentages of all, with commas in between, like %(example)s.")
                % {"example": "1,5,20%"}
            )
        size, percent = int(match["number"]), bool(match["percent"])
        if size == 0 or (percent and size > 100):
            raise WavesRefused(_("A wave takes one instance at least, and all of them at most."))
        parts.append((size, percent))
    return parts
