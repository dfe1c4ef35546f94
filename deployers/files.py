"""Files and directories that only the service's user may read, and that are never seen half written."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from deployers import interruption
from deployers.commands import run
from deployers.errors import CommandFailed, CommandMissing

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
NEW = ".new"
GONE = ".gone"
PORTION = 1 << 20
IN_NAMESPACE = ("unshare", "--map-root-user", "--map-auto", "--")
"""unshare(1): a command as the one who may do everything with what our subordinate users have made (subuid(5)), which
is what instances run as that are separated from the host; an instance can close to us what it makes."""
ERASE_SECONDS = 300.0


def make_private_directory(path: Path) -> None:
    """Make ``path`` and its parents; ``path`` itself is readable by nobody else (also if it was there before)."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    path.chmod(PRIVATE_DIRECTORY)


def write_private(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) as a 0600 file that is there completely or not at all."""
    new = path.with_name(path.name + NEW)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(path)


def copy_private(source: Path, target: Path) -> None:
    """Copy a file's content to a 0600 file that is there completely or not at all. Raises OSError, Interrupted."""
    new = target.with_name(target.name + NEW)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as output, source.open("rb") as content:
            while portion := content.read(PORTION):
                interruption.check()
                output.write(portion)
    except BaseException:
        # The disk may be full just now.
        new.unlink(missing_ok=True)
        raise
    new.replace(target)


def remove_tree(path: Path) -> None:
    """Take a directory away: at once under its own name, then what is in it.

    A removal that was interrupted leaves ``.NAME.gone`` beside it, which the next call for the same path clears.
    """
    gone = path.with_name(f".{path.name}{GONE}")
    erase(gone)
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    erase(gone)


def erase(path: Path) -> None:
    """Delete a directory and all that is in it, also what an instance has closed to us; or a link in its place.

    Raises OSError.
    """
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        try:
            shutil.rmtree(path)
        except (OSError, RecursionError):
            # rm(1) does not mind how deep it goes.
            for prefix in ((), IN_NAMESPACE):
                with suppress(CommandFailed, CommandMissing):
                    run([*prefix, "rm", "-rf", "--", path], log=lambda text: None, timeout=ERASE_SECONDS)
            if path.exists():
                raise


def tail(path: Path, lines: int = 30, at_most: int = 16_384) -> str:
    """The last ``lines`` of a text file, of its last ``at_most`` bytes; '' if there is no such file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - at_most))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:]).strip()
