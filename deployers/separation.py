"""What separates an instance's processes from the host: who they run as, and which files they may see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deployers.commands import run
from deployers.files import IN_NAMESPACE

SETFACL_SECONDS = 30.0
RECLAIM_SECONDS = 300.0
PASSABLE_DIRECTORY = 0o711
PUBLIC_DIRECTORY = 0o755
PUBLIC_FILE = 0o644


class Separation(Protocol):
    """How files are shared with processes that may run as another user than the control plane."""

    @property
    def python_path(self) -> tuple[Path, ...]:
        """What comes after the directory of settings.py in PYTHONPATH."""
        ...

    @property
    def sees(self) -> tuple[Path, ...]:
        """What every process may read, and connect to."""
        ...

    def readable(self, *paths: Path) -> None:
        """Let the instances' processes read these files, and files that come into these directories later."""
        ...

    def writable(self, *paths: Path) -> None:
        """Let them change these files, and make and change files in these directories."""
        ...

    def passable(self, *directories: Path) -> None:
        """Let everybody go through these directories to what he may read in them, and not look around."""
        ...

    def public(self, *paths: Path) -> None:
        """Let everybody read: what the web server sends by itself."""
        ...

    def served(self, *directories: Path) -> None:
        """Let the web server read what is in these directories, and what comes into them later; it may pass through
        the directories that they are in."""
        ...

    def reclaim(self, directory: Path) -> None:
        """Let the control plane read and change all that is in there, also what an instance has closed to it."""
        ...


class NoSeparation:
    """The embedded host: instances run as the control plane's own user."""

    python_path: tuple[Path, ...] = ()
    sees: tuple[Path, ...] = ()

    def readable(self, *paths: Path) -> None:
        pass

    def writable(self, *paths: Path) -> None:
        pass

    def passable(self, *directories: Path) -> None:
        pass

    def public(self, *paths: Path) -> None:
        pass

    def served(self, *directories: Path) -> None:
        pass

    def reclaim(self, directory: Path) -> None:
        pass


@dataclass(frozen=True, slots=True)
class InstanceUser:
    """Instances run as ``uid``, a user of the host that owns nothing else, and get access by acl(5).

    ``uid`` is one of the subordinate ids of the service user (subuid(5)), so no other service has it. ``owner``: the
    service user, who must be able to change what the instances make. ``web_server``: the name of nginx's user.
    ``sees``: the sockets of the host's services.
    """

    uid: int
    owner: int
    web_server: str
    python_path: tuple[Path, ...]
    sees: tuple[Path, ...]

    def readable(self, *paths: Path) -> None:
        self._allow(paths, "r")

    def writable(self, *paths: Path) -> None:
        self._allow(paths, "rw")

    def passable(self, *directories: Path) -> None:
        for directory in directories:
            directory.chmod(PASSABLE_DIRECTORY)

    def public(self, *paths: Path) -> None:
        for path in paths:
            path.chmod(PUBLIC_DIRECTORY if path.is_dir() else PUBLIC_FILE)

    def served(self, *directories: Path) -> None:
        entry = f"u:{self.web_server}:rX"
        self._setfacl(f"{entry},d:{entry}", directories)
        self._setfacl(f"u:{self.web_server}:x", [directory.parent for directory in directories])

    def reclaim(self, directory: Path) -> None:
        """Only where something is closed, because this looks at every file.

        In the namespace, the service user is root. A mask that its directory's owner has narrowed is widened by that.
        """
        if not _all_open(directory):
            argv: list[str | Path] = [*IN_NAMESPACE, "setfacl", "-R", "-P", "-m", "u:0:rwX", "--", directory]
            run(argv, log=lambda text: None, timeout=RECLAIM_SECONDS)

    def _allow(self, paths: Sequence[Path], access: str) -> None:
        files = [path for path in paths if not path.is_dir()]
        directories = [path for path in paths if path.is_dir()]
        if files:
            self._setfacl(f"u:{self.uid}:{access}", files)
        if directories:
            entry = f"u:{self.uid}:{access}X"
            self._setfacl(f"{entry},d:{entry},d:u:{self.owner}:rwX", directories)

    def _setfacl(self, entries: str, paths: Sequence[Path]) -> None:
        run(["setfacl", "-m", entries, "--", *paths], log=lambda text: None, timeout=SETFACL_SECONDS)


def _all_open(directory: Path) -> bool:
    """Whether we can read every directory and file in there; links lead nowhere that we read."""
    left = [str(directory)]
    while left:
        try:
            with os.scandir(left.pop()) as found:
                entries = [entry for entry in found if not entry.is_symlink()]
        except OSError:
            return False
        if not all(entry.is_dir(follow_symlinks=False) or os.access(entry.path, os.R_OK) for entry in entries):
            return False
        left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return True


def python_environment(settings: Path, separation: Separation, home: Path) -> dict[str, str]:
    """The environment of OpenSlides with the settings.py in the directory ``settings``."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": ":".join(str(path) for path in (settings, *separation.python_path)),
        "PYTHONUNBUFFERED": "1",
        # A compiled settings.py would be a second place where the secret key lies.
        "PYTHONDONTWRITEBYTECODE": "1",
        # The working directory is no place to import from.
        "PYTHONSAFEPATH": "1",
    }
