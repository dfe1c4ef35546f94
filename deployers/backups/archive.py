"""The format of an archive: one tar file (POSIX pax), written and read as a stream.

manifest.json     what it is a backup of: the first member, so that it can be read before anything is done
database          SQLite's file, or pg_dump's custom format
settings.py       the instance's settings, if there were any
media/…           uploaded files
checksums.json    SHA-256 of every member before it: the last one, so an archive that was cut off has none
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from deployers import interruption
from deployers.backups.store import Archive
from deployers.errors import ArchiveDamaged, DeployError, SourceChanged, TooManyFiles

FORMAT = 1
MANIFEST, DATABASE, SETTINGS, MEDIA, CHECKSUMS = "manifest.json", "database", "settings.py", "media", "checksums.json"
CHUNK = 1 << 20
SMALL = 1 << 20
"""Manifest and checksums of a real archive are smaller by far; a damaged length must not fill the memory."""
CHECKSUM_BYTES = 64 << 20
NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENXIO)
"""open(2): gone, a symbolic link, a socket."""
NO_DIRECTORY = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
# Access of the instance's own user comes by default ACLs (acl(5)), which the group's bits are the mask of.
MEDIA_FILE = 0o660
MEDIA_DIRECTORY = 0o770


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive is a backup of. No secret."""

    format: int
    instance: str
    slug: str
    domain: str
    version: str
    release: str
    image: str
    db: str
    created_at: str
    event: str


class Writer:
    """Writes one archive, member by member."""

    def __init__(self, stream: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK)  # noqa: SIM115
        self._stream: Any = self._tar.fileobj
        self._checksums: dict[str, str] = {}

    def manifest(self, manifest: Manifest) -> None:
        self.text(MANIFEST, json.dumps(asdict(manifest), indent=1))

    def text(self, name: str, text: str) -> None:
        data = text.encode()
        self._add(name, io.BytesIO(data), len(data), 0.0)

    def file(self, name: str, path: Path | str, directory: int | None = None) -> bool:
        """A regular file; whether there was one. ``directory``: the open one that ``path`` is relative to.

        Raises SourceChanged when it becomes shorter meanwhile.
        """
        try:
            # O_NONBLOCK: a pipe that nobody writes to would keep us waiting (open(2)).
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            if error.errno in NO_FILE:
                return False
            raise
        with open(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return False
            self._add(name, stream, facts.st_size, facts.st_mtime)
        return True

    def tree(self, name: str, directory: Path) -> int:
        """Every regular file below ``directory``, but through no link; how many there were."""
        return sum(self.file(inside, each, opened) for inside, each, opened in _entries(name, directory))

    def close(self) -> None:
        checksums = json.dumps(self._checksums, indent=1)
        if len(checksums) > CHECKSUM_BYTES:
            raise TooManyFiles(len(self._checksums))  # nobody could read it
        self.text(CHECKSUMS, checksums)
        self._tar.close()

    def abandon(self) -> None:
        """Write nothing more, also not what is in the buffer of a stream that is closed by now."""
        self._stream.closed = True

    def _add(self, name: str, stream: IO[bytes], size: int, modified: float) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, int(modified), 0o600
        reader = _Hashing(stream)
        try:
            self._tar.addfile(member, reader)  # type: ignore[arg-type]
        except OSError as error:
            if reader.size < size and error.errno is None:
                raise SourceChanged(name) from error
            raise
        self._checksums[name] = reader.hash.hexdigest()


def _entries(name: str, directory: Path | str, above: int | None = None) -> Iterator[tuple[str, str, int]]:
    """What lies below, sorted: its name in the archive, its own, and the open directory that it is in.

    By open directories and not by paths: an instance that runs can put a link in a directory's place at any moment,
    and we may read more than it may.
    """
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        if error.errno in NO_DIRECTORY:
            return
        raise
    try:
        with os.scandir(opened) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            inside = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(inside, entry.name, opened)
            else:
                yield inside, entry.name, opened
    finally:
        os.close(opened)


class _Hashing:
    """Hashes what is read through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        interruption.check()
        data = self.stream.read(size)
        self.hash.update(data)
        self.size += len(data)
        return data


@contextmanager
def writing(archive: Archive) -> Iterator[Writer]:
    """The archive is in its store when the block ends, and not at all when it raises."""
    with archive.store.write(archive.name) as stream:
        writer = Writer(stream)
        try:
            yield writer
            writer.close()
        finally:
            writer.abandon()


def read_manifest(archive: Archive) -> Manifest:
    """Only the beginning of the archive is read. Raises ArchiveMissing, ArchiveDamaged, StoreFailed."""
    with _opened(archive) as tar:
        return _manifest(archive, tar)


def extract(archive: Archive, staging: Path | None, media: Path | None) -> Manifest:
    """Read the whole archive and compare every checksum; with directories, its files are in them afterwards.

    ``staging`` (must exist) gets ``database`` and ``settings.py``, ``media`` (must exist) the uploaded files. Nothing
    in them may be used when this raises ArchiveMissing, ArchiveDamaged, StoreFailed, OSError.
    """
    with _opened(archive, whole=True) as tar:
        found: dict[str, str] = {}
        manifest = _manifest(archive, tar, found)
        wanted: dict[str, str] | None = None
        while (member := tar.next()) is not None:
            if wanted is not None:
                raise ArchiveDamaged(archive.name, "it goes on after its end")
            if member.name == CHECKSUMS:
                wanted = _json(archive, tar, member, CHECKSUM_BYTES)
                continue
            target = _target(archive, member, staging, media)
            if member.name in found:
                raise ArchiveDamaged(archive.name, f"{member.name} is in it twice")
            found[member.name] = _copy(tar, member, target)
    if wanted is None:
        raise ArchiveDamaged(archive.name, "its end is missing")
    if wanted != found:
        names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        raise ArchiveDamaged(archive.name, f"the checksum of {names[0]} is wrong")
    if DATABASE not in found:
        raise ArchiveDamaged(archive.name, "it has no database")
    return manifest


@contextmanager
def _opened(archive: Archive, *, whole: bool = False) -> Iterator[tarfile.TarFile]:
    """Whatever reading raises inside is damage, but for what the disk and we ourselves say.

    ``whole``: read to the end, and compare with what the store knows of the archive.
    """
    with archive.store.read(archive.name) as stream:
        try:
            reader = _Hashing(stream)
            with tarfile.open(fileobj=reader, mode="r|", bufsize=CHUNK) as tar:  # type: ignore[call-overload]
                yield tar
            if whole:
                _compare(archive, reader)
        except tarfile.TarError as error:
            raise ArchiveDamaged(archive.name, str(error)) from error
        except DeployError:
            raise
        except (ValueError, TypeError, KeyError, EOFError, OverflowError) as error:
            raise ArchiveDamaged(archive.name, str(error) or type(error).__name__) from error


def _compare(archive: Archive, reader: _Hashing) -> None:
    while reader.read(CHUNK):
        pass
    facts = archive.store.facts(archive.name)
    if facts is None or (facts.size, facts.sha256) != (reader.size, reader.hash.hexdigest()):
        raise ArchiveDamaged(archive.name, "its size or SHA-256 is not what was written down when it was made")


def _manifest(archive: Archive, tar: tarfile.TarFile, found: dict[str, str] | None = None) -> Manifest:
    member = tar.next()
    if member is None or member.name != MANIFEST:
        raise ArchiveDamaged(archive.name, "it does not begin with a manifest")
    values = _json(archive, tar, member, SMALL, found)
    if values.get("format") != FORMAT:
        raise ArchiveDamaged(archive.name, f"its format {values.get('format')!r} is not known to this release")
    return Manifest(**values)


def _json(
    archive: Archive,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    at_most: int,
    found: dict[str, str] | None = None,
) -> dict[str, Any]:
    stream = tar.extractfile(member)
    if stream is None or member.size > at_most:
        raise ArchiveDamaged(archive.name, f"{member.name} is no text")
    data = stream.read()
    if found is not None:
        found[member.name] = hashlib.sha256(data).hexdigest()
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ArchiveDamaged(archive.name, f"{member.name} is no object")
    return values


def _target(archive: Archive, member: tarfile.TarInfo, staging: Path | None, media: Path | None) -> Path | None:
    """Where a member goes. Raises ArchiveDamaged for everything that an archive of ours does not hold."""
    parts = PurePosixPath(member.name).parts
    if not member.isreg():
        raise ArchiveDamaged(archive.name, f"{member.name!r} is no regular file")
    if member.name in (DATABASE, SETTINGS):
        return staging / member.name if staging else None
    if len(parts) < 2 or parts[0] != MEDIA or ".." in parts or str(PurePosixPath(*parts)) != member.name:
        raise ArchiveDamaged(archive.name, f"{member.name!r} does not belong into it")
    return media.joinpath(*parts[1:]) if media else None


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path | None) -> str:
    """The member's SHA-256; its content is in ``target``, if there is one."""
    stream = tar.extractfile(member)
    assert stream is not None
    digest = hashlib.sha256()
    output: IO[bytes] = io.BytesIO()
    if target is not None:
        target.parent.mkdir(mode=MEDIA_DIRECTORY, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MEDIA_FILE)
        output = open(descriptor, "wb")  # noqa: SIM115 - closed below
    with output:
        while data := stream.read(CHUNK):
            interruption.check()
            digest.update(data)
            if target is not None:
                output.write(data)
    if target is not None:
        os.utime(target, (member.mtime, member.mtime))
    return digest.hexdigest()
