"""The part of a deployer that knows images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from deployers.plan import Action
from deployers.spec import VersionSpec


class Engine(Protocol):
    """Turns an image into an OpenSlides that can be run."""

    def release(self, version: VersionSpec) -> str:
        """The OpenSlides release in the image, say "3.3". Raises UnknownImage."""
        ...

    def install(self, version: VersionSpec) -> Sequence[tuple[str, Action]]:
        """Names and actions of the steps which make the image usable; each may be run again."""
        ...

    def missing(self, version: VersionSpec) -> str | None:
        """What a usable installation lacks, at a glance; None if it looks complete."""
        ...

    def check(self, version: VersionSpec) -> None:
        """Look closely. Raises PreparationBroken."""
        ...

    def command(self, version: VersionSpec, arguments: Sequence[str]) -> tuple[str, ...]:
        """The host's command that runs the version's Python with ``arguments``."""
        ...
