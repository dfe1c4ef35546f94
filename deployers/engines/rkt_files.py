"""Files of the service user as root reads them: with his rights, never through a link, and only his own.

Nothing but the standard library, because root imports it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployers.engines.rkt_pod import IMAGE_HASH, Host, Refused

SERVICE_USER = "openslides"
HOST_FILE = Path("/etc/openslides-multiinstance/host.json")
FILE_BYTES = 256 * 1024


def read_host(file: Path = HOST_FILE) -> Host:
    """``rkt_stage1`` in host.json pins the stage1 image by its hash. Raises Refused, OSError, KeyError, ValueError."""
    user = pwd.getpwnam(SERVICE_USER)
    facts = json.loads(file.read_text(encoding="utf-8"))
    stage1 = facts.get("rkt_stage1")
    if stage1 is not None and not IMAGE_HASH.fullmatch(stage1):
        raise Refused(f"{file}: rkt_stage1 is not a hash as `rkt image list --format=json` shows it")
    return Host(user.pw_uid, user.pw_gid, int(facts["instance_uid"]), stage1)


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
