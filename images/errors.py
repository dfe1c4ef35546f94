"""Why an image could not be built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployers.errors import DeployError


@dataclass(eq=False)
class NotRoot(DeployError):
    """debootstrap(8) makes device files and uses chroot(2)."""

    def __str__(self) -> str:
        return "Building an image needs root: sudo make image."


@dataclass(eq=False)
class ProgramsMissing(DeployError):
    """``programs``: name and Debian package of each."""

    programs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        names = ", ".join(program for program, _ in self.programs)
        packages = " ".join(sorted({package for _, package in self.programs}))
        return f"Missing on this machine: {names}. Install them: apt-get install {packages}"


@dataclass(eq=False)
class LockMissing(DeployError):
    """There is no lock file for what was asked for."""

    path: Path
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"There is no lock file {self.path}. Releases that can be built: {', '.join(self.known)}."


@dataclass(eq=False)
class DebianUnsuitable(DeployError):
    """The machine's Debian has another Python than OpenSlides' lock files are for."""

    release: str
    python: str
    needed: str

    def __str__(self) -> str:
        return (
            f"Debian {self.release} has Python {self.python}, and OpenSlides' lock files are for {self.needed}. "
            "Build the image on Debian 12 (bookworm) and copy the archive."
        )


@dataclass(eq=False)
class MirrorUnknown(DeployError):
    """The machine's apt sources do not name its own release, or in no way that debootstrap(8) understands."""

    release: str

    def __str__(self) -> str:
        return (
            f"No apt source of this machine names a mirror of Debian {self.release}. "
            "Name one: make image DEBIAN_MIRROR=http://…/debian"
        )


@dataclass(eq=False)
class WrongRelease(DeployError):
    """The lock file's OpenSlides is not the one that its name says."""

    asked: str
    found: str

    def __str__(self) -> str:
        return f"The lock file of OpenSlides {self.asked} installed OpenSlides {self.found}. Make the lock file again."
