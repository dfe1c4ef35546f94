"""A whole product on the embedded host, and this process as another one that works on its rows.

``Plant.open`` must come before anything that imports Django's settings, so the other modules of this folder import
the product's inside of functions.
"""

from __future__ import annotations

import contextlib
import logging
import mailbox
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from tests.chaos.fleet import NEW, OLD, Finding, Fleet
from tests.chaos.report import Report
from tests.chaos.scan import scan
from tests.deployers.host import VERSIONS, prepare, version
from tests.embedded.product import Product
from tests.observing import free_range, processes_of, wait_for

if TYPE_CHECKING:
    from instances.models import Instance

ENDING_SECONDS = 15.0
SETTINGS = {
    # What is waited for shall be the work and not the next look; and nothing is to begin by itself.
    "REFRESH_SECONDS": "0.5",
    "OPERATIONS_AT_ONCE": "10",
    "BACKUP_VERIFY_HOURS": "0",
    # A worker that died here is known at once; one that lives on a busy machine must not be taken for dead.
    "LEASE_SECONDS": "30",
    # So many instances start at the same time that the machine is busy.
    "READY_TIMEOUT": "120",
}


class Plant(Fleet, Product):
    """``disk_bytes``: of a disk of its own, where it gets one (needs root). ``inbox``: where mail comes, a Maildir."""

    inbox: Path | None = None

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        disk_bytes: int = 0,
    ) -> None:
        prepare(OLD, NEW)
        # Short, because a unix socket lies in it: its path has 107 bytes at most (unix(7)).
        data_dir = Path(tempfile.mkdtemp(prefix="mi-")) / "data"
        data_dir.mkdir(mode=0o700)
        self.has_disk = bool(disk_bytes)
        if disk_bytes:
            options = f"size={disk_bytes},mode=700"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", data_dir], check=True)
        (data_dir / "versions").mkdir(mode=0o700)
        for release in (OLD, NEW):
            name = version(release).directory_name
            (data_dir / "versions" / name).symlink_to(VERSIONS / name)
        Fleet.__init__(self)
        Product.__init__(self, data_dir, {**SETTINGS, "INSTANCE_PORTS": free_range(), **(environment or {})})

    def open(self) -> None:
        """Start the product, and make this process one that works on its rows."""
        self.start()
        shared = {
            name: value for name, value in self.environment.items() if name not in ("LD_PRELOAD", "ADMIN_PASSWORD")
        }
        # A worker that is to die always finds a free place.
        shared |= {"ENV_FILE": os.devnull, "OPERATIONS_AT_ONCE": "1000"}
        os.environ.update(shared, DJANGO_SETTINGS_MODULE="multiinstance.settings")
        django.setup()
        logging.disable(logging.ERROR)
        self.prepare_versions()
        self.wait_all()

    def close(self) -> list[str]:
        """Stop it and take it away; what outlived it, and was not about to end."""
        self.stop()
        with contextlib.suppress(AssertionError):
            wait_for("the end of its processes", lambda: not processes_of(self.data_dir), ENDING_SECONDS)
        left = self.end_leftovers()
        if self.has_disk:
            subprocess.run(["umount", "--lazy", self.data_dir], check=True)
        shutil.rmtree(self.data_dir.parent)
        return [f"the process {command}" for command in left.values()]

    def create(self, slug: str, version: str | None = None, **attributes: Any) -> Any:
        raise NotImplementedError("make() makes instances here")

    def data(self, instance: Instance) -> Path:
        return self.data_dir / "instances" / instance.pk / "data"

    def media(self, instance: Instance) -> Path:
        return self.data(instance) / "media"

    def write(self, instance: Instance, text: str) -> None:
        database = self.data(instance) / "database.sqlite"
        with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
            connection.execute("INSERT INTO core_tag (name) VALUES (?)", (text,))

    def rows(self, instance: Instance) -> set[str]:
        return self.rows_of_dump(self.data(instance) / "database.sqlite")

    def rows_of_dump(self, dump: Path) -> set[str]:
        """The database of an archive is a SQLite file, too."""
        with closing(sqlite3.connect(f"file:{dump}?mode=ro", uri=True, timeout=20)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM core_tag")}

    def mailed(self) -> set[str] | None:
        if self.inbox is None:
            return None
        return {str(mail["To"]) for mail in mailbox.Maildir(self.inbox, create=False)}

    def scan(self) -> list[Finding]:
        return scan(self.data_dir)


@contextmanager
def plant(environment: Mapping[str, str] | None = None, disk_bytes: int = 0, *, report: Report) -> Iterator[Plant]:
    """One that runs, and is gone afterwards; ``report`` gets what outlived it."""
    made = Plant(environment, disk_bytes)
    try:
        made.open()
        yield made
    finally:
        began = time.monotonic()
        left = made.close()
        report.trial("the product's end", time.monotonic() - began, leaked=left)
