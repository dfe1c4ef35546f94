"""Files and links that other users read, and that are never seen half made. No secret belongs in them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

PUBLIC_FILE = 0o644
PUBLIC_DIRECTORY = 0o755
PASSAGE = 0o711
"""May be walked through, but not listed."""
DRAFT = "[0-9a-f]" * 8 + ".new"


def make_directory(path: Path, mode: int = PUBLIC_DIRECTORY) -> None:
    """Make one directory with exactly this mode, whatever the umask; one that is there keeps its content."""
    path.mkdir(mode=mode, exist_ok=True)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)


def write_public(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) as a 0644 file that is there completely or not at all; nothing, if that is in it already.

    Several processes may do this at once.
    """
    content = text.encode()
    try:
        if not path.is_symlink() and path.read_bytes() == content:
            return
    except FileNotFoundError:
        pass

    def write(new: Path) -> None:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PUBLIC_FILE), "wb") as stream:
            os.fchmod(stream.fileno(), PUBLIC_FILE)
            stream.write(content)

    _replace(path, write)


def set_link(path: Path, target: Path) -> None:
    """Make ``path`` a symbolic link to ``target``: at every moment there is the old one or the new one."""
    if not (path.is_symlink() and path.readlink() == target):
        _replace(path, lambda new: new.symlink_to(target))


def clear_drafts(path: Path) -> None:
    """Take away what processes left that were killed while they wrote ``path``, or while they wrote anything in the
    directory ``path``. Nobody else may be writing there now."""
    directory, name = (path, "*") if path.is_dir() and not path.is_symlink() else (path.parent, path.name)
    for draft in directory.glob(f".{name}.{DRAFT}"):
        draft.unlink(missing_ok=True)


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        make(new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
