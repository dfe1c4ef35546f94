"""Runs a command with DATABASE_URL set to a throw-away PostgreSQL: ``python -m tests.postgresql COMMAND…``.

The cluster lies in a temporary directory, listens on a unix socket in it only, and is gone afterwards. initdb refuses
to run as root, so root runs it as ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import find


@contextmanager
def cluster() -> Iterator[str]:
    """The DATABASE_URL of a fresh cluster."""
    initdb, pg_ctl = find("initdb"), find("pg_ctl")
    assert initdb is not None
    assert pg_ctl is not None
    directory = Path(tempfile.mkdtemp(prefix="mi-pg-"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]
    data = str(directory / "data")
    log = directory / "log"
    # Durability is of no use for a database that is thrown away.
    options = f"-k {directory} -h '' -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    try:
        subprocess.run(
            [*prefix, initdb, "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=directory,
        )
        subprocess.run(
            [*prefix, pg_ctl, "-D", data, "-l", str(log), "-o", options, "-w", "start"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=directory,
        )
        try:
            yield f"postgres://tests@:5432/{directory}/postgres"
        finally:
            subprocess.run(
                [*prefix, pg_ctl, "-D", data, "-m", "immediate", "stop"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=directory,
            )
    finally:
        shutil.rmtree(directory)


def main() -> int:
    if find("initdb") is None:
        print("PostgreSQL is missing, so nothing was run on it. Install it: sudo apt-get install postgresql")
        return 1 if os.environ.get("CI") == "true" else 0
    with cluster() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
