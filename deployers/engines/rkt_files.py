"""Files of the service user as root reads them: with his rights, never through a link, and only his own.

Nothing but the standard library, because root imports it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import lzma
import os
import pwd
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deployers.engines.rkt_pod import IMAGE_HASH, Host, Refused

SERVICE_USER = "openslides"
HOST_FILE = Path("/etc/openslides-multiinstance/host.json")
FILE_BYTES = 256 * 1024
RKT_DATA = Path("/var/lib/rkt")
MOUNTS = Path("/proc/self/mountinfo")
STAGE1_SETTINGS = (Path("/usr/lib/rkt/stage1.d"), Path("/etc/rkt/stage1.d"))
"""rkt's --system-config and --local-config; what the second says counts."""
STAGE1_PLACES = (Path("/usr/lib/rkt/stage1-images"), Path("/usr/local/bin"), Path("/usr/bin"))
"""Where rkt looks beside what its configuration says: its packages' directory, and its program's own."""
COMPRESSED: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
"""How a file of each kind begins. An ACI is a tar archive, compressed or not (appc specification, "aci")."""


def read_host(file: Path = HOST_FILE, mounts: Path = MOUNTS, stage1: Sequence[Path] = STAGE1_SETTINGS) -> Host:
    """``rkt_stage1`` in host.json pins the stage1 image by its hash. Raises Refused, OSError, KeyError, ValueError."""
    user = pwd.getpwnam(SERVICE_USER)
    facts = json.loads(file.read_text(encoding="utf-8"))
    pinned = facts.get("rkt_stage1")
    if pinned is not None and not IMAGE_HASH.fullmatch(pinned):
        raise Refused(f"{file}: rkt_stage1 is not a hash as `rkt image list --format=json` shows it")
    return Host(
        user.pw_uid,
        user.pw_gid,
        int(facts["instance_uid"]),
        pinned,
        stage1_location(stage1),
        lies_on_overlay(mounts.read_text(encoding="utf-8", errors="surrogateescape"), RKT_DATA.resolve()),
    )


def lies_on_overlay(mounts: str, directory: Path) -> bool:
    """Whether the file system of an absolute path, which need not be there, is an overlay. ``mounts``: what
    /proc/self/mountinfo says. Its fifth field is the mount point, with octal escapes; the type of the file system
    follows a field that is a hyphen (proc_pid_mountinfo(5)). Of two mounts on one point, the later one is seen."""
    depth, kind = 0, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), before.split(" ")[4]))
        if directory.is_relative_to(point) and len(point.parts) >= depth:
            depth, kind = len(point.parts), after.split(" ")[0]
    return kind == "overlay"


def stage1_location(directories: Sequence[Path] = STAGE1_SETTINGS) -> str:
    """Where rkt's configuration says that its stage1 comes from: a path or a URL; '' if it does not, or if the caller
    may not read it, as the service user, who does not need it. rkt itself complains of damaged files."""
    location = ""
    for directory in directories:
        with contextlib.suppress(OSError):
            for file in sorted(directory.iterdir()):
                with contextlib.suppress(ValueError, AttributeError):
                    location = str(json.loads(file.read_bytes()).get("location") or location)
    return location


def own_stage1_images(host: Host, places: Sequence[Path] = STAGE1_PLACES) -> set[str]:
    """The hashes of the stage1 images that root has put on this host, and the first pod imports. Reads them as a whole,
    some hundred megabytes each."""
    location = Path(host.stage1_location.removeprefix("file://"))
    files = {location} if location.is_absolute() else set()
    for place in places:
        with contextlib.suppress(OSError):
            files |= {file for file in place.iterdir() if re.fullmatch(r"stage1-.*\.aci", file.name)}
    found = {host.stage1} if host.stage1 else set()
    for file in files:
        # What cannot be read was not imported either.
        with contextlib.suppress(OSError, EOFError, zlib.error, lzma.LZMAError):
            found.add(image_id(file))
    return found


def image_id(file: Path) -> str:
    """The hash that rkt gives an ACI: half of the SHA-512 of the archive, uncompressed. Raises OSError, EOFError,
    zlib.error, lzma.LZMAError."""
    with file.open("rb") as stream:
        start = stream.read(8)
    opened = next((opener for magic, opener in COMPRESSED if start.startswith(magic)), open)
    with opened(file, "rb") as stream:
        return "sha512-" + hashlib.file_digest(stream, "sha512").hexdigest()[:64]


def read_json(host: Host, path: Path) -> dict[str, Any]:
    """Raises Refused."""
    with acting_as(host):
        descriptor = open_without_links(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != host.service_uid:
            raise Refused(f"{path} is not a file of the user {SERVICE_USER}")
        content = stream.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise Refused(f"{path} is larger than {FILE_BYTES} bytes")
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(f"{path} is not JSON") from None
    if not isinstance(read, dict):
        raise Refused(f"{path} does not hold an object")
    return read


def check_place(host: Host, path: Path) -> None:
    """Whether the path leads, without a link, to a file or directory of the service user's. Raises Refused.

    rkt mounts by path, some time after this look, and the service user may put a link there in between. Then the pod
    sees another directory, with the rights of a user that owns nothing on this host, in no group, and without a way to
    get more (NoNewPrivileges=): what everybody may read or change there. Nothing is done with root's rights.
    """
    descriptor = open_without_links(path, os.O_PATH)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
        raise Refused(f"{path} is neither a directory nor a file")
    if found.st_uid != host.service_uid:
        raise Refused(f"{path} belongs to the user {found.st_uid}, and not to {SERVICE_USER}")


def open_without_links(path: Path, flags: int) -> int:
    """A descriptor of ``path``, none of whose components is a link (open(2), O_NOFOLLOW). Raises Refused."""
    parts = path.parts[1:]
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, part in enumerate(parts, 1):
        passage = os.O_PATH | os.O_DIRECTORY if number < len(parts) else flags
        try:
            following = os.open(part, passage | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        except OSError as error:
            raise Refused(f"{path}: {part}: {error.strerror} (links are not followed)") from error
        finally:
            os.close(descriptor)
        descriptor = following
    # With O_PATH, a link is opened as such.
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{path} is a link")
    return descriptor


@contextlib.contextmanager
def acting_as(host: Host) -> Iterator[None]:
    """What is opened, made and removed is what the service user could open, make and remove himself."""
    if os.geteuid() == host.service_uid:
        yield
        return
    groups = os.getgroups()
    os.setgroups([host.service_gid])
    os.setegid(host.service_gid)
    os.seteuid(host.service_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def become(host: Host) -> None:
    """The service user from now on, for good."""
    if os.geteuid() != host.service_uid:
        os.setgroups([host.service_gid])
        os.setresgid(host.service_gid, host.service_gid, host.service_gid)
        os.setresuid(host.service_uid, host.service_uid, host.service_uid)


def remove_directory(host: Host, directory: Path) -> None:
    with acting_as(host):
        shutil.rmtree(directory, ignore_errors=True)
