"""A backup store that is a folder: on the host's disk, on another one, or on a mounted share."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from deployers.backups.store import ArchiveFacts, Room
from deployers.errors import ArchiveMissing, StoreFailed
from deployers.files import PRIVATE_FILE, make_private_directory, write_private

FACTS = ".json"
UNFINISHED = ".unfinished"
MARK = ".openslides-backups"


class HashingWriter:
    """A stream that counts and hashes what is written through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = 0
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.stream.write(data)

    @property
    def facts(self) -> ArchiveFacts:
        return ArchiveFacts(self.size, self.hash.hexdigest())


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Archives as files below ``folder``; beside each its size and SHA-256 as ``NAME.json``.

    An archive that is being written has another name, so one that is there under its own name is complete.

    ``memory``: of a folder that somebody else makes, and mounts; a file that is elsewhere, in which it is noted when it
    was used. From then on it is known by the mark in it: without its disk there is an empty directory in its place, or
    none, in which nothing must be written, missed or deleted.
    """

    folder: Path
    memory: Path | None = None

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        path = self._path(name)
        self._check()
        with self._failures():
            self._make()
            make_private_directory(path.parent)
            _sync(self.folder)
            self._delete(path)
            unfinished = path.with_name(path.name + UNFINISHED)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        try:
            with open(descriptor, "wb") as stream:
                writer = HashingWriter(stream)
                yield cast(BinaryIO, writer)
                with self._failures():
                    stream.flush()
                    os.fsync(stream.fileno())
            with self._failures():
                facts = writer.facts
                write_private(_beside(path), json.dumps({"size": facts.size, "sha256": facts.sha256}) + "\n")
                # Before the archive has its name: after a power failure one without them would count as damaged.
                _sync(_beside(path))
                unfinished.replace(path)
                _sync(path.parent)
        except BaseException:
            self._delete(path)
            raise

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        self._check()
        try:
            stream = self._path(name).open("rb")
        except FileNotFoundError:
            raise ArchiveMissing(name) from None
        except OSError as error:
            raise StoreFailed(str(error)) from error
        with stream:
            yield stream

    def facts(self, name: str) -> ArchiveFacts | None:
        path = self._path(name)
        self._check()
        try:
            size = path.stat().st_size
            known = json.loads(_beside(path).read_text(encoding="utf-8"))
            return ArchiveFacts(size, str(known["sha256"])) if known["size"] == size else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise StoreFailed(str(error)) from error

    def delete(self, name: str) -> None:
        path = self._path(name)
        self._check()
        with self._failures():
            self._delete(path)
            if path.parent != self.folder and path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def names(self) -> list[str]:
        self._check()
        if not self.folder.exists():
            return []
        with self._failures():
            found = {
                str(path.relative_to(self.folder)).removesuffix(FACTS).removesuffix(UNFINISHED)
                for path in self.folder.rglob("*")
                if path.is_file()
            }
        return sorted(found - {MARK})

    def room(self) -> Room | None:
        self._check()
        with self._failures():
            self._make()
            state = os.statvfs(self.folder)
            return Room(state.f_bavail * state.f_frsize, os.stat(self.folder).st_dev)

    def _check(self) -> None:
        """Raises StoreFailed when the folder is somebody's to mount, and it is not that one."""
        if self.memory is None:
            return
        if not self.folder.is_dir():
            raise StoreFailed(f"the folder {self.folder} is not there; mount its disk, or make it (docs/backups.md)")
        with self._failures():
            if not (self.folder / MARK).exists() and self._was_used():
                raise StoreFailed(
                    f"the folder {self.folder} is not the one that was used before: it has no file {MARK}. Is its disk "
                    "mounted? If it is another one, and shall be used from now on, make that file: "
                    f"touch {self.folder / MARK}"
                )

    def _was_used(self) -> bool:
        assert self.memory is not None
        try:
            return self.memory.read_text(encoding="utf-8").strip() == str(self.folder)
        except FileNotFoundError:
            return False

    def _make(self) -> None:
        """The folder, where it is ours to make; and what it will be known by."""
        if self.memory is None:
            make_private_directory(self.folder)
            return
        if not (self.folder / MARK).exists():
            write_private(self.folder / MARK, "The archives of backups of OpenSlides instances.\n")
        if not self._was_used():
            write_private(self.memory, f"{self.folder}\n")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreFailed(str(error)) from error

    def _path(self, name: str) -> Path:
        """Raises StoreFailed: the name cannot be a path below the folder."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", name):
            raise StoreFailed(f"{name!r} is no name of an archive")
        return self.folder / name

    @staticmethod
    def _delete(path: Path) -> None:
        for each in (path, _beside(path), path.with_name(path.name + UNFINISHED)):
            each.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + FACTS)


def _sync(path: Path) -> None:
    """A file, or a directory. fsync(2): the name of a new file is on the disk only when its directory is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
