"""What is done to instances while workers die: one class for each kind of operation, and what must come of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.chaos.fleet import NEW, OLD, Fleet

if TYPE_CHECKING:
    from instances.models import Backup, Instance, Operation


@contextmanager
def silence() -> Iterator[None]:
    """No message is sent: the operation is for the worker that dies, and the real one must find it by itself."""
    from instances import messages

    send = messages._send
    messages._send = lambda *_arguments: None
    try:
        yield
    finally:
        messages._send = send


class Kind:
    """``name``: of the table. ``steps_that_take``: seconds of steps whose middle is a matter of time, by their name."""

    name = ""
    steps_that_take: Mapping[str, float] = {"wait until OpenSlides answers": 0.8}
    numbers = itertools.count(1)

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def can_be_done(self) -> bool:
        """Whether the fleet has all that it needs."""
        return True

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        """So many instances to which it can be done, out of ``pool``: those are installed and active, with OLD."""
        if len(pool) < count:
            pool += self.fleet.make(count - len(pool), f"more-for-{self.name}-{next(self.numbers)}".replace(" ", "-"))
        chosen, pool[:] = pool[:count], pool[count:]
        return chosen

    def file(self, instance: Instance, request: Any) -> Operation:
        raise NotImplementedError

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        """What is not as it should be after the operation has succeeded."""
        return _not(instance, "active", OLD)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "active", OLD)

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        return self.fleet.lost(instance)

    def after(self, pool: list[Instance], used: list[Instance]) -> None:
        """Give those back that can be used again, and take the others away."""
        from instances import operations

        present = [instance for instance in used if instance.removed_at is None]
        again = [i for i in present if i.installed_at is not None and i.version.name == OLD]
        self.fleet.do(operations.start, [instance for instance in again if instance.desired_state == "stopped"])
        pool += again
        for instance in [instance for instance in present if instance not in again]:
            if instance.installed_at is None and not instance.backups.exists():
                instance.delete()
            else:
                self.fleet.do(operations.purge, [instance])


def _not(instance: Instance, state: str, version: str) -> list[str]:
    found = []
    if instance.observed_state != state:
        found.append(f"it is {instance.observed_state} and not {state}")
    if instance.version.name != version:
        found.append(f"it has {instance.version} and not {version}")
    if instance.failure or instance.attention:
        found.append(f"failure {instance.failure!r}, attention {instance.attention!r}")
    return found


class Create(Kind):
    name = "create"

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        return [self.fleet.new(f"created-{next(self.numbers)}") for _ in range(count)]

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.create(instance, request)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return [] if instance.observed_state == "new" else [f"it is {instance.observed_state}"]

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        """Nobody has written anything yet; that it converged says that it answers."""
        return []

    def after(self, pool: list[Instance], used: list[Instance]) -> None:
        for instance in used:
            if instance.installed_at is not None:
                self.fleet.mark(instance, "made")
        super().after(pool, used)


class Stop(Kind):
    name = "stop"

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.stop(instance, request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "stopped", OLD)


class Start(Kind):
    name = "start"

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        self.fleet.do(operations.stop, chosen)
        return chosen

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.start(instance, request)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "stopped", OLD)


class MakeBackup(Kind):
    name = "backup"

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.backup(instance, request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "active", OLD) + _incomplete(operation.backup)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "active", OLD) + (["its backup is there"] if operation.backup else [])

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        lost = self.fleet.lost(instance)
        if operation.backup is not None:
            missing = self.fleet.marks[instance.pk] - self.fleet.marks_in_archive(operation.backup)
            lost += [f"{mark} in the backup" for mark in missing]
        return lost


def _incomplete(backup: Backup | None) -> list[str]:
    if backup is None:
        return ["the row of its backup is gone"]
    return [] if backup.is_complete else ["its backup is not complete"]


class Restore(Kind):
    """The backup holds one mark less than the instance; after it just those of the backup count."""

    name = "restore"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.backups: dict[str, Backup] = {}
        self.before: dict[str, set[str]] = {}

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        made = self.fleet.do(operations.backup, chosen)
        self.backups |= {operation.instance_id: operation.backup for operation in made}
        self.before |= {instance.pk: set(self.fleet.marks[instance.pk]) for instance in chosen}
        for instance in chosen:
            self.fleet.mark(instance, f"after-{self.backups[instance.pk].pk}")
        return chosen

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.restore(self.backups[instance.pk], request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "active", OLD) + _incomplete(operation.safety_backup)

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        marks = self.fleet.marks[instance.pk]
        if operation.status != "succeeded":
            return self.fleet.lost(instance)
        lost = []
        if operation.safety_backup is not None:
            missing = marks - self.fleet.marks_in_archive(operation.safety_backup)
            lost += [f"{mark} in the safety backup" for mark in missing]
        self.fleet.marks[instance.pk] = set(self.before[instance.pk])
        found = self.fleet.marks_in(instance)
        lost += self.fleet.lost(instance)
        return lost + [f"(not restored: {mark} is still there)" for mark in found - self.before[instance.pk]]


class Update(Kind):
    name = "update"
    steps_that_take: Mapping[str, float] = {**Kind.steps_that_take, f"migrate a copy of the data to {NEW}": 1.8}

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.update(instance, self.fleet.version(NEW), request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "active", NEW) + _incomplete(operation.safety_backup)

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        lost = self.fleet.lost(instance)
        if operation.status == "succeeded" and operation.safety_backup is not None:
            missing = self.fleet.marks[instance.pk] - self.fleet.marks_in_archive(operation.safety_backup)
            lost += [f"{mark} in the backup before the update" for mark in missing]
        return lost


class UpdateStopped(Update):
    """It runs for the new version's health, and is stopped again."""

    name = "update of a stopped one"

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        self.fleet.do(operations.stop, chosen)
        return chosen

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "stopped", NEW) + _incomplete(operation.safety_backup)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return _not(instance, "stopped", OLD)


class Mail(Kind):
    """Only where the fleet has a mail relay. One that is sent twice is no harm; it must come."""

    name = "test mail"
    steps_that_take: Mapping[str, float] = {}

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.send_test_mail(instance, self._recipient(instance), request)

    def can_be_done(self) -> bool:
        return self.fleet.mailed() is not None

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        found = [] if self._recipient(instance) in (self.fleet.mailed() or ()) else ["its mail has not come"]
        return _not(instance, "active", OLD) + found

    def _recipient(self, instance: Instance) -> str:
        return f"{instance.slug}@example.org"


class CreateFromBackup(Kind):
    """A clone: its creation waits for the backup of the source, which is made at once here."""

    name = "create from a backup"
    source: Instance | None = None

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        if self.source is None:
            (self.source,) = super().subjects(pool, 1)
            (made,) = self.fleet.do(operations.backup, [self.source])
            self.backup = made.backup
        clones = [self.fleet.new(f"cloned-{next(self.numbers)}") for _ in range(count)]
        # Here and not in file(), which runs in the worker that dies.
        for clone in clones:
            self.fleet.marks[clone.pk] = set(self.fleet.marks[self.source.pk])
        return clones

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.create(instance, request, self.backup)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return [] if instance.observed_state == "new" else [f"it is {instance.observed_state}"]

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        return self.fleet.lost(instance) if instance.installed_at else []

    def after(self, pool: list[Instance], used: list[Instance]) -> None:
        assert self.source is not None
        super().after(pool, [self.source, *used])


class Verify(Kind):
    name = "verify"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.backups: dict[str, Backup] = {}

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        made = self.fleet.do(operations.backup, chosen)
        self.backups |= {operation.instance_id: operation.backup for operation in made}
        return chosen

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.verify(self.backups[instance.pk], request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        backup = self.backups[instance.pk]
        backup.refresh_from_db()
        return [] if backup.verified_at and not backup.problem else [f"not verified: {backup.problem!r}"]

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return []


class Remove(Kind):
    """With its last backup, from which it could be brought back."""

    name = "remove"

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.remove(instance, request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        found = [] if instance.removed_at else [f"it is {instance.observed_state} and not removed"]
        return found + _incomplete(operation.safety_backup)

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        if instance.removed_at is None:
            return self.fleet.lost(instance)
        if operation.safety_backup is None or not operation.safety_backup.is_complete:
            return ["the last backup"]
        return sorted(self.fleet.marks[instance.pk] - self.fleet.marks_in_archive(operation.safety_backup))


class BringBack(Kind):
    name = "bring back"

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        self.fleet.do(operations.remove, chosen)
        return list(chosen)

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.bring_back(instance, request)

    def wrong_if_cancelled(self, instance: Instance, operation: Operation) -> list[str]:
        return [] if instance.observed_state == "new" else [f"it is {instance.observed_state}"]

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        if instance.installed_at is None:
            newest = instance.backups.complete().first()
            return sorted(self.fleet.marks[instance.pk] - (self.fleet.marks_in_archive(newest) if newest else set()))
        return self.fleet.lost(instance)


class Purge(Kind):
    """Nothing is to be left, and that is what was asked for."""

    name = "purge"

    def subjects(self, pool: list[Instance], count: int) -> list[Instance]:
        from instances import operations

        chosen = super().subjects(pool, count)
        self.fleet.do(operations.backup, chosen)
        return chosen

    def file(self, instance: Instance, request: Any) -> Operation:
        from instances import operations

        return operations.purge(instance, request)

    def wrong(self, instance: Instance, operation: Operation) -> list[str]:
        found = [] if instance.removed_at else [f"it is {instance.observed_state} and not removed"]
        return found + (["its backups are there"] if instance.backups.exists() else [])

    def lost(self, instance: Instance, operation: Operation) -> list[str]:
        return self.fleet.lost(instance) if instance.removed_at is None else []


KINDS: list[Callable[[Fleet], Kind]] = [
    Create, Stop, Start, Mail, MakeBackup, Verify, Restore, CreateFromBackup, Update, UpdateStopped, BringBack,
    Remove, Purge,
]  # fmt: skip
