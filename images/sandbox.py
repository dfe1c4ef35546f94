"""How the build runs programs: in namespaces of their own, so that no mount and no process outlives it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from deployers.commands import run
from deployers.errors import CommandFailed

NETWORK_VARIABLES = re.compile(
    r"PIP_\w+|(https?|ftp|no|all)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE", re.IGNORECASE
)
"""What debootstrap, apt and pip may see of the operator's environment: how to reach a mirror and an index."""

TIMEOUT_SECONDS = 900.0
NOBODY = "65534"
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    "--inh-caps=-all",
)
"""The packages' own set-up code is not run as root."""

WORKSHOP = Path("/usr/src")
"""A mount point that every Debian has, and where nobody keeps what pip could need."""

NAMESPACES = (
    "setpriv",
    "--pdeathsig=KILL",
    "--",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
"""unshare(1) lets SIGTERM pass by while its child runs, so only SIGKILL ends all when this program is killed."""


def on_machine(argv: Sequence[str | Path], scratch: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a program of the machine, with its network. Its temporary files and its home lie in ``scratch``."""
    return _run([*NAMESPACES, "--"], argv, _surroundings(scratch) | dict(env or {}))


def as_nobody(argv: Sequence[str | Path], workshop: Path) -> str:
    """Run a program of the machine, with its network, as a user who may write in WORKSHOP only.

    That is where it sees the directory ``workshop``, which may lie below directories that are closed to others.
    """
    bind = ("sh", "-c", f'mount --bind "$0" {WORKSHOP} && exec "$@"', workshop)
    return _run([*NAMESPACES, "--", *bind, *AS_NOBODY], argv, _surroundings(WORKSHOP))


def in_root(
    argv: Sequence[str | Path], root: Path, *, env: Mapping[str, str] | None = None, nobody: bool = False
) -> str:
    """Run a program of the root file system ``root`` in it, without a network."""
    user = AS_NOBODY if nobody else ()
    places = {"HOME": "/", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return _run([*NAMESPACES, "--net", "--ipc", "--", "chroot", root, *user], argv, places | dict(env or {}))


def _surroundings(home: Path) -> dict[str, str]:
    network = {name: value for name, value in os.environ.items() if NETWORK_VARIABLES.fullmatch(name)}
    return {**network, "HOME": str(home), "TMPDIR": str(home)}


def _run(wrapper: Sequence[str | Path], argv: Sequence[str | Path], env: Mapping[str, str]) -> str:
    """Raises CommandFailed with the name of the program itself, CommandTimedOut, CommandMissing."""
    try:
        return run([*wrapper, *argv], log=lambda text: None, timeout=TIMEOUT_SECONDS, env=env, cwd=Path("/"))
    except CommandFailed as error:
        raise CommandFailed(str(argv[0]), error.code, error.tail) from error
