"""The instances of one host, whose rows this process works on, and what users have written into them.

What differs between hosts is how users' data are written and read, and how the host is compared with the rows.
Django's settings must be there before a fleet is made, so the modules around it import the product's inside of
functions.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.observing import wait_for

if TYPE_CHECKING:
    from instances.models import Backup, Instance, Operation, Version

OLD, NEW = "3.2", "3.3"
PREPARATION_SECONDS = 300.0
CONVERGENCE_SECONDS = 150.0
SECONDS_OF_EACH = 20.0
"""Of each operation that waits or runs, on a machine that does much else: some come one after the other."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the rows say. ``instance``: its id, where it belongs to one."""

    text: str
    instance: str = ""


class Fleet(ABC):
    """``name``: before what the table says of it. ``domain``: where new instances get their addresses.
    ``attributes``: of each new one."""

    name = ""

    domain = "localhost"
    attributes: dict[str, Any] = {}

    def __init__(self) -> None:
        self.marks: dict[str, set[str]] = {}
        """What users have written, by instance."""

    @abstractmethod
    def media(self, instance: Instance) -> Path:
        """Where its uploads are."""

    @abstractmethod
    def write(self, instance: Instance, text: str) -> None:
        """Into a row of its database."""

    @abstractmethod
    def rows(self, instance: Instance) -> set[str]:
        """What is in those rows. Raises what the database raises, where it cannot be read."""

    @abstractmethod
    def rows_of_dump(self, dump: Path) -> set[str]:
        """What is in those rows, in the database of an archive."""

    @abstractmethod
    def scan(self) -> list[Finding]:
        """The host against the rows, looked at until it is steady."""

    def mailed(self) -> set[str] | None:
        """To whom mail has come; None where the instances have no relay."""
        return None

    def version(self, name: str) -> Version:
        from instances.models import Version

        return Version.objects.get(name=name)

    def unfinished(self) -> list[Operation]:
        from instances.models import Operation

        return list(Operation.objects.unfinished())

    def wait_all(self, seconds: float = CONVERGENCE_SECONDS) -> None:
        """Until no operation waits or runs. ``seconds``: beside those that each one has."""
        limit = seconds + SECONDS_OF_EACH * len(self.unfinished())
        wait_for("the end of all operations", lambda: not self.unfinished(), limit, every=0.2)

    def prepare_versions(self) -> None:
        """What is created waits for its version, and a worker that is to die would find nothing that it may begin."""
        from instances import operations
        from instances.models import Version

        missing = Version.objects.filter(name__in=(OLD, NEW)).exclude(preparation="prepared")
        if not missing:
            return
        for version in missing.filter(preparation="none"):
            operations.prepare(version, operations.SYSTEM)
        self.wait_all(PREPARATION_SECONDS)

    def make(self, count: int, prefix: str, release: str = OLD) -> list[Instance]:
        """So many new instances that run, each with a mark."""
        from instances import operations

        made = [self.new(f"{prefix}-{number}", release) for number in range(count)]
        self.do(operations.create, made)
        for instance in made:
            self.mark(instance, "made")
        return made

    def new(self, slug: str, release: str = OLD) -> Instance:
        """The row of an instance that is not there yet, not saved."""
        from instances.models import Domain, Instance

        domain = Domain.objects.get(domain=self.domain)
        return Instance(slug=slug, domain=domain, version=self.version(release), event_name=slug, **self.attributes)

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
            instance.refresh_from_db()
            if instance.removed_at is None:
                self.wait_row(instance, instance.desired_state)
        return filed

    def purge(self, instances: Collection[Instance]) -> None:
        """Also those at which the system is at work by itself. Raises AssertionError: one could not be purged."""
        for instance in instances:
            wait_for(f"the purge of {instance}", partial(self._asks_for_purge, instance), CONVERGENCE_SECONDS)
        self.wait_all()
        for instance in instances:
            instance.refresh_from_db()
            if instance.removed_at is None or instance.backups.exists():
                raise AssertionError(f"{instance} could not be purged: {instance.observed_state}")

    def _asks_for_purge(self, instance: Instance) -> bool:
        from instances import operations
        from instances.errors import OperationRunning

        instance.refresh_from_db()
        try:
            operations.purge(instance, operations.Request())
        except OperationRunning:
            return False
        return True

    def wait_row(self, instance: Instance, state: str) -> None:
        def look() -> bool:
            instance.refresh_from_db()
            return bool(instance.observed_state == state)

        try:
            wait_for("its state", look, CONVERGENCE_SECONDS)
        except AssertionError:
            raise AssertionError(f"{instance} is {instance.observed_state} and not {state}") from None

    # What users write: a row of the database, and a file.

    def mark(self, instance: Instance, text: str) -> None:
        """Write it as a user of the instance would."""
        self.write(instance, text)
        self.media(instance).mkdir(exist_ok=True)
        (self.media(instance) / f"{text}.txt").write_text(text)
        self.marks.setdefault(instance.pk, set()).add(text)

    def marks_in(self, instance: Instance) -> set[str]:
        """What is there of it: in the database and as a file."""
        return self.rows(instance) & {path.stem for path in self.media(instance).glob("*.txt")}

    def lost(self, instance: Instance) -> list[str]:
        """What was written and is not there."""
        try:
            return sorted(self.marks.get(instance.pk, set()) - self.marks_in(instance))
        except Exception as error:
            return [f"the database ({type(error).__name__}: {error})"]

    def marks_in_archive(self, backup: Backup) -> set[str]:
        """What users had written, as the archive holds it."""
        from instances.planning import archive_of

        archive = archive_of(backup)
        files: set[str] = set()
        number, name = tempfile.mkstemp(suffix=".dump")
        try:
            with (
                os.fdopen(number, "wb") as database,
                archive.store.read(archive.name) as stream,
                tarfile.open(fileobj=stream, mode="r|") as tar,
            ):
                for member in tar:
                    path = Path(member.name)
                    if path.parts[0] == "media" and path.suffix == ".txt":
                        files.add(path.stem)
                    elif member.name == "database":
                        shutil.copyfileobj(tar.extractfile(member) or BytesIO(), database)
            return self.rows_of_dump(Path(name)) & files
        finally:
            os.unlink(name)
