"""Files and directories that only the service's user may read, and that are never seen half written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
NEW = ".new"
GONE = ".gone"


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
    """Copy a file's content to a 0600 file that is there completely or not at all."""
    new = target.with_name(target.name + NEW)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as output, source.open("rb") as content:
            shutil.copyfileobj(content, output, 1 << 20)
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
    if gone.exists():
        shutil.rmtree(gone)
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone)


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
