"""What an image is made of, as data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deployers.engines import shim
from images.errors import LockMissing

HERE = Path(__file__).resolve().parent
LOCKS = HERE.parent / "deployers" / "openslides" / "locks"
BUILD_LOCK = LOCKS / "build.txt"
HEALTHCHECK = HERE / "healthcheck"
BASE_CONTAINERFILE = HERE / "base" / "Containerfile"
PYTHON = "3.11"
"""What the lock files are for."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One release of OpenSlides, say "3.3"."""

    release: str

    @property
    def reference(self) -> str:
        return f"localhost/openslides:{self.release}"

    @property
    def archive(self) -> str:
        return f"openslides-{self.release}.tar"

    @property
    def note(self) -> str:
        """The file beside the archive that says what the archive was made of."""
        return f"openslides-{self.release}.json"

    @property
    def major(self) -> str:
        return self.release.partition(".")[0]

    @property
    def containerfile(self) -> Path:
        return HERE / f"openslides{self.major}" / "Containerfile"

    @property
    def locks(self) -> tuple[Path, ...]:
        """Files for ``pip install --no-deps``, one after the other: a later one decides about a package in both."""
        return BUILD_LOCK, LOCKS / f"openslides-{self.release}.txt", LOCKS / f"hosted-{self.major}.txt"

    def check(self) -> None:
        """Raises LockMissing."""
        for lock in self.locks:
            if not lock.is_file():
                raise LockMissing(lock, known_releases())

    def inputs(self, surroundings: str) -> str:
        """One hash of all that the image is made of, but for the state of Debian's archive.

        ``surroundings``: what is the machine's (architecture, Debian release, mirror).
        """
        code = sorted(HERE.glob("*.py"))
        files = (*self.locks, self.containerfile, BASE_CONTAINERFILE, HEALTHCHECK, *code)
        digest = hashlib.sha256()
        for part in (self.release, surroundings, shim.SOURCE, *(path.read_text(encoding="utf-8") for path in files)):
            digest.update(hashlib.sha256(part.encode()).digest())
        return digest.hexdigest()


def known_releases() -> tuple[str, ...]:
    """Every release with a lock file, sorted."""
    return tuple(sorted(path.stem.removeprefix("openslides-") for path in LOCKS.glob("openslides-*.txt")))
