"""The part of a deployer that knows images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deployers.plan import Action, Log
from deployers.spec import VersionSpec


@dataclass(frozen=True, slots=True)
class Process:
    """A process of OpenSlides: the arguments of the version's Python, and all that it may see of the host.

    ``environment``: beside what the engine itself needs. ``reads`` and ``writes``: files and directories of the host,
    seen under the same path; an engine that does not separate processes from the host has no use for them. ``log``:
    takes what a service prints, where the service manager does not see it.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the host, with its whole environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Turns an image into an OpenSlides that can be run. ``names_move``: an image's name may lead to a newer one."""

    @property
    def names_move(self) -> bool: ...

    def release(self, version: VersionSpec) -> str:
        """The OpenSlides release in the image, say "3.3". Raises UnknownImage."""
        ...

    def install(self, version: VersionSpec) -> Sequence[tuple[str, Action]]:
        """Names and actions of the steps which make the image usable; each may be run again."""
        ...

    def outdated(self, version: VersionSpec, log: Log) -> bool:
        """Whether the image's name leads to another image by now, which is fetched. Raises ImageRefused."""
        ...

    def discard(self, version: VersionSpec) -> None:
        """Take away what ``install`` put outside of the version's directory."""
        ...

    def missing(self, version: VersionSpec) -> str | None:
        """What a usable installation lacks, at a glance; None if it looks complete."""
        ...

    def check(self, version: VersionSpec) -> None:
        """Look closely. Raises PreparationBroken."""
        ...

    def command(self, version: VersionSpec, process: Process) -> Command:
        """What runs the process to its end."""
        ...

    def service(self, version: VersionSpec, process: Process, instance_id: str) -> Command:
        """What a service manager runs as an instance."""
        ...

    def stop(self, instance_id: str) -> tuple[str, ...]:
        """The command that ends a service, by force if it does not end by itself; empty where signals do."""
        ...

    def cleanup(self, instance_id: str) -> tuple[str, ...]:
        """The command that takes away what a killed service leaves; empty if it leaves nothing."""
        ...

    def containers(self) -> Collection[str]:
        """The ids of all instances of which a container is there. Raises DeployError."""
        ...

    def remove_container(self, instance_id: str) -> None:
        """By force, also when there is none. Raises DeployError."""
        ...
