"""Where archives are kept. A folder here; anything that can keep named streams of bytes may be one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What is known of a complete archive. ``size`` in bytes, ``sha256`` in hexadecimal, both of the whole archive."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on a disk, in bytes. ``device``: which one (stat(2), st_dev)."""

    free: int
    device: int


class BackupStore(Protocol):
    """Keeps archives by name. An archive is there as a whole or not at all, also after a crash."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A stream for a new archive (one that exists is replaced).

        It is there when the block ends, and not at all when the block raises. Raises StoreFailed.
        """
        ...

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A stream of the archive, from its beginning, not seekable. Raises ArchiveMissing, StoreFailed."""
        ...

    def facts(self, name: str) -> ArchiveFacts | None:
        """Of an archive that is complete; None when there is none. Raises StoreFailed."""
        ...

    def delete(self, name: str) -> None:
        """Also when it is not there. Raises StoreFailed."""
        ...

    def names(self) -> list[str]:
        """Every archive in it, complete or not. Raises StoreFailed."""
        ...

    def room(self) -> Room | None:
        """Room for more; None when that is nothing to worry about. Raises StoreFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive, whether it exists or not."""

    store: BackupStore
    name: str
