"""A whole product on the embedded host, and this process as another one that works on its rows.

``Plant.open`` must come before anything that imports Django's settings, so the other modules of this folder import
the product's inside of functions.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from tests.deployers.host import VERSIONS, prepare, version
from tests.embedded.product import Product
from tests.observing import wait_for

if TYPE_CHECKING:
    from instances.models import Instance, Operation, Version

OLD, NEW = "3.2", "3.3"
CONVERGENCE_SECONDS = 150.0
PORTS = 400
SETTINGS = {
    # What is waited for shall be the work and not the next look; and nothing is to begin by itself.
    "REFRESH_SECONDS": "0.5",
    "OPERATIONS_AT_ONCE": "10",
    "BACKUP_VERIFY_HOURS": "0",
    "LEASE_SECONDS": "10",
    # So many instances start at the same time that the machine is busy.
    "READY_TIMEOUT": "120",
}


class Plant(Product):
    """``disk_bytes``: of a disk of its own, where it gets one (needs root)."""

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
        self.marks: dict[str, set[str]] = {}
        """What users have written, by instance."""
        super().__init__(data_dir, {**SETTINGS, "INSTANCE_PORTS": free_range(), **(environment or {})})

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
        from instances import operations
        from instances.models import Version

        for name in (OLD, NEW):
            row = Version.objects.get(name=name)
            if row.preparation == "none":
                operations.prepare(row, operations.SYSTEM)
        self.wait_all()

    def close(self) -> list[str]:
        """Stop it and take it away; what outlived it."""
        self.stop()
        left = self.end_leftovers()
        if self.has_disk:
            subprocess.run(["umount", "--lazy", self.data_dir], check=True)
        shutil.rmtree(self.data_dir.parent)
        return [f"the process {command}" for command in left.values()]

    def version(self, name: str) -> Version:
        from instances.models import Version

        return Version.objects.get(name=name)

    def unfinished(self) -> list[Operation]:
        from instances.models import Operation

        return list(Operation.objects.unfinished())

    def wait_all(self, seconds: float = CONVERGENCE_SECONDS) -> None:
        """Until no operation waits or runs."""
        wait_for("the end of all operations", lambda: not self.unfinished(), seconds, every=0.2)

    def create(self, slug: str, version: str | None = None, **attributes: Any) -> Any:
        raise NotImplementedError("make() makes instances here")

    def make(self, count: int, prefix: str, release: str = OLD) -> list[Instance]:
        """So many new instances that run, each with a mark."""
        made = [self.new(f"{prefix}-{number}", release) for number in range(count)]
        self.do(lambda instance, request: self._create(instance, request), made)
        for instance in made:
            self.mark(instance, "made")
        return made

    @staticmethod
    def _create(instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.create(instance, request)

    def new(self, slug: str, release: str = OLD) -> Instance:
        """The row of an instance that is not there yet, not saved."""
        from instances.models import Domain, Instance

        return Instance(
            slug=slug, domain=Domain.objects.get(domain="localhost"), version=self.version(release), event_name=slug
        )

    def do(self, file: Callable[[Instance, Any], Operation], instances: Collection[Instance]) -> list[Operation]:
        """Ask for an operation on each, which the real worker runs; when all have ended well."""
        from instances import operations

        filed = [file(instance, operations.Request()) for instance in instances]
        self.wait_all()
        for operation in filed:
            operation.refresh_from_db()
            if operation.status != "succeeded":
                raise AssertionError(f"{operation}: {operation.status} {operation.failed_step} {operation.error}")
        for instance in instances:
            wanted = {"active": "active", "stopped": "stopped"}
            instance.refresh_from_db()
            if instance.removed_at is None:
                self.wait_row(instance, wanted[instance.desired_state])
        return filed

    def wait_row(self, instance: Instance, state: str) -> None:
        def look() -> bool:
            instance.refresh_from_db()
            return bool(instance.observed_state == state)

        wait_for(f"{instance} {state} (it is {instance.observed_state})", look, CONVERGENCE_SECONDS)

    # What users write: a row of the database, and a file.

    def directory(self, instance: Instance) -> Path:
        return self.data_dir / "instances" / instance.pk

    def mark(self, instance: Instance, text: str) -> None:
        """Write it as a user of the instance would."""
        place = self.directory(instance) / "data"
        with closing(sqlite3.connect(place / "database.sqlite", timeout=20)) as connection, connection:
            connection.execute("INSERT INTO core_tag (name) VALUES (?)", (text,))
        (place / "media").mkdir(exist_ok=True)
        (place / "media" / f"{text}.txt").write_text(text)
        self.marks.setdefault(instance.pk, set()).add(text)

    def marks_in(self, instance: Instance) -> set[str]:
        """What is there of it: in the database and as a file."""
        place = self.directory(instance) / "data"
        return marks_of(place / "database.sqlite") & {path.stem for path in (place / "media").glob("*.txt")}

    def lost(self, instance: Instance) -> list[str]:
        """What was written and is not there."""
        try:
            return sorted(self.marks.get(instance.pk, set()) - self.marks_in(instance))
        except sqlite3.Error as error:
            return [f"the database ({error})"]


def free_range() -> str:
    """Below what the system gives out to clients (proc(5), ip_local_port_range), which would take one now and then."""
    first = random.randrange(10_000, 32_000, PORTS)
    return f"{first}-{first + PORTS - 1}"


def marks_of(database: Path) -> set[str]:
    """Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM core_tag")}


@contextmanager
def plant(environment: Mapping[str, str] | None = None, disk_bytes: int = 0) -> Iterator[Plant]:
    """One that runs, and is gone afterwards."""
    made = Plant(environment, disk_bytes)
    try:
        made.open()
        yield made
    finally:
        made.close()
