"""A host in memory, for property tests: its plans have the form of the real ones, and each step may be run again.

What the real plans do to a real host is the matter of ``tests/deployers`` and ``tests/chaos``. This one is about what
the domain makes of plans whose steps fail, and whose workers die, at any point.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from deployers.backups.store import Archive
from deployers.errors import ArchiveMissing, InstanceMissing, NotPrepared, ServiceManagerUnreachable
from deployers.plan import Action, Log, Plan, Serving, Step
from deployers.spec import DomainSpec, InstanceSpec, Location, OrphanSpec, VersionSpec
from deployers.states import UnitState


@dataclass(frozen=True, slots=True)
class Data:
    """An instance's database: with which version it works, and what users have written."""

    version: str
    written: frozenset[int] = frozenset()


@dataclass
class PretendedHost:
    """A :class:`deployers.deployer.Deployer` and its host at once."""

    prepared: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    data: dict[str, Data] = field(default_factory=dict)
    kept: dict[tuple[str, str], Data] = field(default_factory=dict)
    switched: set[tuple[str, str]] = field(default_factory=set)
    units: dict[str, UnitState] = field(default_factory=dict)
    scratch: set[str] = field(default_factory=set)
    mails: int = 0
    reachable: bool = True

    def write(self, instance: str, number: int) -> bool:
        """Somebody uses the instance, if it runs."""
        if self.units.get(instance) != UnitState.RUNNING or instance not in self.data:
            return False
        before = self.data[instance]
        self.data[instance] = replace(before, written=before.written | {number})
        return True

    def read(self, archive: Archive) -> Data:
        """Raises ArchiveMissing."""
        with archive.store.read(archive.name) as stream:
            version, written = json.loads(stream.read())
        return Data(version, frozenset(written))

    def states(self) -> dict[str, UnitState]:
        if not self.reachable:
            raise ServiceManagerUnreachable("/run/pretended", "it is silent")
        return dict(self.units)

    def connections(self) -> Mapping[str, int]:
        return {}

    def url(self, location: Location) -> str:
        return f"http://127.0.0.1:{location.port}/"

    def port_is_free(self, port: int) -> bool:
        return True

    def is_prepared(self, version: VersionSpec) -> bool:
        return version.name in self.prepared

    def open_domain(self, domain: DomainSpec) -> None: ...

    def close_domain(self, domain: DomainSpec) -> None: ...

    def orphans(self, known: Collection[str], versions: Collection[VersionSpec] | None = None) -> list[OrphanSpec]:
        there = {*self.directories, *self.data, *self.units, *self.scratch}
        return [OrphanSpec("directory", number, number) for number in sorted(there - set(known))]

    def remove_orphan(self, orphan: OrphanSpec) -> None:
        self._forget(orphan.instance_id)

    def prepare(self, version: VersionSpec) -> Plan:
        return (
            Step("install", lambda log: log("installed\n")),
            Step("mark it", lambda log: self.prepared.add(version.name)),
        )

    def discard(self, version: VersionSpec) -> Plan:
        return (Step("remove", lambda log: self.prepared.discard(version.name)),)

    def create(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        number = spec.id

        def data(log: Log) -> None:
            log(f"password {spec.superadmin_password}\n")
            if number not in self.data:
                self.data[number] = self.read(archive) if archive else Data(spec.version.name)

        return (
            self._check(spec.version),
            Step("make directories", lambda log: self.directories.add(number), lambda log: self._forget(number)),
            Step("make the data", data),
            Step("register", lambda log: self._register(number), lambda log: void(self.units.pop(number, None))),
            Step("start", self._becomes(number, UnitState.RUNNING), lambda log: void(self.units.pop(number, None))),
            Step("wait", lambda log: None),
        )

    def start(self, spec: InstanceSpec, wake: bool = True) -> Plan:
        number = spec.id
        return (
            self._check(spec.version),
            Step("check that the data is there", lambda log: self._check_data(number)),
            Step("register", lambda log: self._register(number)),
            Step("start", self._becomes(number, UnitState.RUNNING), self._becomes(number, UnitState.STOPPED)),
            Step("wait", lambda log: log(f"{spec.secret_key}\n"), self._becomes(number, UnitState.STOPPED)),
        )

    def stop(self, spec: InstanceSpec) -> Plan:
        return (Step("stop", self._becomes(spec.id, UnitState.STOPPED)),)

    def backup(self, spec: InstanceSpec, archive: Archive) -> Plan:
        return (Step("write", lambda log: self._write(spec, archive), lambda log: archive.store.delete(archive.name)),)

    def verify(self, version: VersionSpec, db: str, archive: Archive) -> Plan:
        def clean(log: Log) -> None:
            self.scratch.discard(archive.name)

        return (
            Step("read", lambda log: void(self.read(archive)), clean),
            Step("load", lambda log: self.scratch.add(archive.name), clean),
            Step("drop", clean),
        )

    def remove(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        def back_up(log: Log) -> None:
            if archive is not None and spec.id in self.data:
                self._write(spec, archive)

        return (
            Step("forget the service", lambda log: void(self.units.pop(spec.id, None))),
            Step("back up", back_up),
            Step("drop", lambda log: void(self.data.pop(spec.id, None)), final=True),
            Step("remove the files", lambda log: self._forget(spec.id), final=True),
        )

    def update(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        def migrated(before: Data) -> Data:
            return replace(before, version=target.name)

        return self._replace(spec, target, token, running, archive, migrated)

    def restore(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        return self._replace(spec, target, token, running, None, lambda before: self.read(archive))

    def send_test_mail(self, spec: InstanceSpec, recipient: str) -> Plan:
        def send(log: Log) -> None:
            self.mails += 1

        return (Step("send", send),)

    def _replace(
        self,
        spec: InstanceSpec,
        target: VersionSpec,
        token: str,
        running: bool,
        archive: Archive | None,
        new: Callable[[Data], Data],
    ) -> Plan:
        number, key = spec.id, (spec.id, token)

        def stop(log: Log) -> None:
            if key not in self.switched:
                self.units[number] = UnitState.STOPPED

        def go_back(log: Log) -> None:
            if key in self.kept:
                self.switched.discard(key)
                self.data[number] = self.kept.pop(key)
            self.units[number] = UnitState.RUNNING if running else UnitState.STOPPED

        def keep(log: Log) -> None:
            if archive is not None and key not in self.switched:
                self._write(spec, archive)
            if key not in self.kept:
                self._check_data(number)
                self.kept[key] = self.data[number]

        def switch(log: Log) -> None:
            if key not in self.switched:
                self.data[number] = new(self.kept[key])
                self.switched.add(key)

        steps = [
            self._check(target),
            Step("stop", stop, go_back, serving=Serving.ENDS),
            Step("keep", keep),
            Step("switch", switch),
            Step("start", self._becomes(number, UnitState.RUNNING)),
            Step("check its health", lambda log: log(f"{spec.database_password}\n"), serving=Serving.RETURNS),
        ]
        if not running:
            steps.append(Step("stop again", self._becomes(number, UnitState.STOPPED)))
        return tuple(steps)

    def _check(self, version: VersionSpec) -> Step:
        def check(log: Log) -> None:
            if version.name not in self.prepared:
                raise NotPrepared(version.name, "its files")

        return Step("check that it is prepared", check)

    def _check_data(self, number: str) -> None:
        if number not in self.data:
            raise InstanceMissing(number, "database")

    def _register(self, number: str) -> None:
        self.units.setdefault(number, UnitState.STOPPED)

    def _becomes(self, number: str, unit: UnitState) -> Action:
        def change(log: Log) -> None:
            self.units[number] = unit

        return change

    def _write(self, spec: InstanceSpec, archive: Archive) -> None:
        self._check_data(spec.id)
        data = self.data[spec.id]
        with archive.store.write(archive.name) as stream:
            stream.write(json.dumps([data.version, sorted(data.written)]).encode())

    def _forget(self, number: str) -> None:
        self.directories.discard(number)
        self.data.pop(number, None)
        self.units.pop(number, None)
        for key in [key for key in self.kept if key[0] == number]:
            del self.kept[key]


def void(value: object) -> None:
    """For a lambda that shall return nothing."""


__all__ = ["ArchiveMissing", "Data", "PretendedHost"]
