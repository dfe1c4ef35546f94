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
from dataclasses import dataclass
from pathlib import Path

from tests.tools import find


@dataclass(frozen=True, slots=True)
class Cluster:
    """One that can be stopped and started. ``prefix``: of its commands, where they must not run as root."""

    directory: Path
    prefix: tuple[str, ...]

    @property
    def url(self) -> str:
        """As in DATABASE_URL."""
        return f"postgres://tests@:5432/{self.directory}/postgres"

    def make(self) -> None:
        self._run("initdb", "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        # Durability is of no use for a database that is thrown away.
        options = f"-k {self.directory} -h '' -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        self._run("pg_ctl", "-l", str(self.directory / "log"), "-o", options, "-w", "start")

    def stop(self) -> None:
        """At once: its clients' connections break."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        path = find(program)
        assert path is not None
        subprocess.run(
            [*self.prefix, path, "-D", str(self.directory / "data"), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            # Nothing of whoever starts it: a server is not one of the processes that a test looks for afterwards.
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PGCTLTIMEOUT": "300"},
        )


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A fresh one, which is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="mi-pg-"))
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        prefix = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--")
    made = Cluster(directory, prefix)
    try:
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory)


@contextmanager
def cluster() -> Iterator[str]:
    """The DATABASE_URL of a fresh cluster."""
    with running_cluster() as made:
        yield made.url


def main() -> int:
    if find("initdb") is None:
        print("PostgreSQL is missing, so nothing was run on it. Install it: sudo apt-get install postgresql")
        return 1 if os.environ.get("CI") == "true" else 0
    with cluster() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
