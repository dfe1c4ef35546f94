"""A deployer that is put together from parts: service manager, engines, database servers, cache, router.

It makes the plans; the parts touch the host. What OpenSlides needs is asked of its major version's profile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from deployers.backups.instance import place_media, read_archive, write_archive
from deployers.backups.store import Archive
from deployers.backups.verifying import Verifier
from deployers.errors import DataOfOtherRelease, InstanceMissing
from deployers.files import remove_tree, write_private
from deployers.openslides.passwords import hash_passwords
from deployers.openslides.profile import Login
from deployers.orphans import Orphans
from deployers.parts import Parts
from deployers.plan import Action, Log, Plan, Step
from deployers.preparation import Management, Preparer
from deployers.restoring import Restorer
from deployers.spec import DomainSpec, InstanceSpec, Location, OrphanSpec, VersionSpec
from deployers.states import UnitState
from deployers.updating import Updater


class ComposedDeployer:
    """A :class:`deployers.deployer.Deployer` made of :class:`Parts`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def preparer(self, version: VersionSpec) -> Preparer:
        """Raises UnknownEngine."""
        parts, engine = self.parts, self.parts.engine(version)
        management = Management(engine, parts.separation, parts.timeouts.prepare)
        return Preparer(parts.layout, engine, parts.databases, management)

    def prepare(self, version: VersionSpec) -> Plan:
        return self.preparer(version).plan(version)

    def discard(self, version: VersionSpec) -> Plan:
        if version.engine not in self.parts.engines:
            return ()  # it was never prepared here
        preparer = self.preparer(version)

        def discard(log: Log) -> None:
            preparer.discard(version)
            if preparer.engine.names_move:
                preparer.discard(replace(version, coming=True))

        return (Step(f"remove the files of {version.name}", discard),)

    def is_prepared(self, version: VersionSpec) -> bool:
        return self.preparer(version).missing(version) is None

    def create(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        """What fails takes all of it away again. Nothing is waited for before the service starts."""
        parts, paths, version = self.parts, self.parts.layout.instance(spec.id), spec.version
        parts.database(spec), parts.profile(version)  # an impossible instance has no plan
        preparer = self.preparer(version)

        def forget_service(log: Log) -> None:
            parts.services.remove(spec.id)

        def withdraw(log: Log) -> None:
            parts.router.withdraw(spec)

        def forget(log: Log) -> None:
            parts.forget(spec.id)

        return _without_none(
            Step(f"check that {version.name} is prepared", lambda log: preparer.check(version)),
            self._open(spec),
            Step(
                "make directories",
                lambda log: parts.make_directories(paths),
                lambda log: remove_tree(paths.directory),
            ),
            Step("make accounts", lambda log: parts.admit(spec, version), forget) if parts.has_accounts else None,
            *self._data(spec, archive),
            Step("write settings", lambda log: parts.write_settings(spec, version)),
            Step("check that the port is free", lambda log: parts.check_port(spec)),
            Step(
                "register the service",
                lambda log: parts.services.register(parts.service(spec, version)),
                forget_service,
            ),
            self._publish(spec, withdraw),
            Step("start the service", lambda log: parts.services.start(spec.id), forget_service),
            Step("wait until OpenSlides answers", lambda log: parts.wait(spec, version), forget_service),
        )

    def start(self, spec: InstanceSpec, wake: bool = True) -> Plan:
        parts, version = self.parts, spec.version
        parts.database(spec), parts.profile(version)
        preparer = self.preparer(version)

        def stop(log: Log) -> None:
            self._stop(spec)

        wait = Step("wait until OpenSlides answers", lambda log: parts.wait(spec, version), stop)
        return _without_none(
            Step(f"check that {version.name} is prepared", lambda log: preparer.check(version)),
            self._open(spec),
            Step("check that the data is there", lambda log: parts.check_data(spec)),
            Step("write settings", lambda log: self._rewrite_settings(spec)),
            Step("check that the port is free", lambda log: parts.check_port(spec)),
            Step("register the service", lambda log: parts.services.register(parts.service(spec, version))),
            self._publish(spec),
            Step("start the service", lambda log: parts.services.start(spec.id), stop),
            wait if wake or not parts.services.sleeps else None,
        )

    def stop(self, spec: InstanceSpec) -> Plan:
        def stop(log: Log) -> None:
            self._stop(spec)
            # Its service takes it away at its end, unless the power failed, or the engine did.
            self.parts.engine(spec.version).remove_container(spec.id)

        return (Step("stop the service", stop),)

    def update(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        return Updater(self.parts, self.preparer(target), spec, target, token, running).plan(archive)

    def restore(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        return Restorer(self.parts, self.preparer(target), spec, target, token, running).plan(archive)

    def _data(self, spec: InstanceSpec, archive: Archive | None) -> Plan:
        """Where a new instance's data come from."""
        if archive is not None:
            return (Step("restore the backup", lambda log: self._restore(spec, archive, log)),)
        return (
            Step("copy the template database", lambda log: self._copy_template(spec, log)),
            Step("write accounts and event", lambda log: self._write_rows(spec, log)),
        )

    def backup(self, spec: InstanceSpec, archive: Archive) -> Plan:
        parts = self.parts

        def write(log: Log) -> None:
            if not parts.database(spec).instance(spec.id).exists():
                raise InstanceMissing(spec.id, "database")
            write_archive(parts, spec, archive, log)

        return (Step("write the backup", write, lambda log: archive.store.delete(archive.name)),)

    def verify(self, version: VersionSpec, db: str, archive: Archive) -> Plan:
        return Verifier(self.parts, version, db, archive).plan()

    def remove(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        parts = self.parts

        def back_up(log: Log) -> None:
            assert archive is not None
            if not parts.database(spec).instance(spec.id).exists():
                log("There is no database any more that could be backed up.\n")
                return
            write_archive(parts, spec, archive, log)

        def end(log: Log) -> None:
            parts.services.remove(spec.id)
            for engine in parts.engines.values():
                engine.remove_container(spec.id)

        directory = parts.layout.instance(spec.id).directory
        withdraw = Step("withdraw the address", lambda log: parts.router.withdraw(spec))
        forget = Step("drop databases, keys and accounts", lambda log: parts.forget(spec.id), final=True)
        return _without_none(
            Step("stop and forget the service", end),
            Step("write a last backup", back_up) if archive is not None else None,
            withdraw if parts.router.has_front else None,
            forget if parts.has_accounts else None,
            Step("remove the instance's files", lambda log: remove_tree(directory), final=True),
        )

    def send_test_mail(self, spec: InstanceSpec, recipient: str) -> Plan:
        parts = self.parts
        arguments = parts.profile(spec.version).send_test_mail(recipient)
        return (Step(f"send a mail to {recipient}", lambda log: parts.manage(spec, arguments, log)),)

    def _open(self, spec: InstanceSpec) -> Step | None:
        if not self.parts.router.has_front:
            return None
        return Step("check that the domain is served", lambda log: self.open_domain(spec.domain_spec))

    def _publish(self, spec: InstanceSpec, undo: Action | None = None) -> Step | None:
        if not self.parts.router.has_front:
            return None
        return Step("publish the address", lambda log: self.parts.publish(spec, spec.version), undo)

    def orphans(self, known: Collection[str], versions: Collection[VersionSpec] | None = None) -> list[OrphanSpec]:
        return Orphans(self.parts).find(known, versions)

    def remove_orphan(self, orphan: OrphanSpec) -> None:
        Orphans(self.parts).remove(orphan)

    def open_domain(self, domain: DomainSpec) -> None:
        self.parts.router.open_domain(domain)

    def close_domain(self, domain: DomainSpec) -> None:
        self.parts.router.close_domain(domain)

    def states(self) -> dict[str, UnitState]:
        return self.parts.services.states()

    def connections(self) -> Mapping[str, int]:
        return self.parts.router.connections()

    def url(self, location: Location) -> str:
        return self.parts.router.url(location)

    def port_is_free(self, port: int) -> bool:
        return self.parts.router.port_is_free(port)

    def _stop(self, spec: InstanceSpec) -> None:
        self.parts.router.pause(spec)
        self.parts.services.stop(spec.id)

    def _copy_template(self, spec: InstanceSpec, log: Log) -> None:
        databases = self.parts.database(spec)
        database = databases.instance(spec.id)
        if database.exists():
            try:
                self.parts.check_data(spec)
            except DataOfOtherRelease:
                # Left by a try with another version, whose undo was interrupted. Nobody has ever used it.
                self.parts.services.stop(spec.id)
                databases.drop(database)
            else:
                # An earlier run came further than this; the instance may have run, and been used, since.
                log("The instance's database is there already.\n")
                return
        databases.copy_closed(databases.template(spec.version), databases.draft(spec.id))

    def _restore(self, spec: InstanceSpec, archive: Archive, log: Log) -> None:
        """The database takes its place last: an instance that has one is complete, and may have been used since."""
        databases, paths = self.parts.database(spec), self.parts.layout.instance(spec.id)
        database = databases.instance(spec.id)
        if database.exists():
            if paths.restored.exists() and paths.restored.read_text(encoding="utf-8") == archive.name:
                log("The instance's database is there already.\n")
                return
            # Left by a try with another backup, or none, whose undo was interrupted. Nobody has ever used it.
            self.parts.services.stop(spec.id)
            databases.drop(database)
        draft = databases.draft(spec.id)
        media = read_archive(self.parts, spec, spec.version, archive, draft, log)
        place_media(media, paths.media)
        write_private(paths.restored, archive.name)
        databases.replace(draft, database)
        self.parts.share_data(spec)

    def _write_rows(self, spec: InstanceSpec, log: Log) -> None:
        """In the draft, which takes the database's place when it is complete."""
        databases = self.parts.database(spec)
        if databases.instance(spec.id).exists():
            log("The instance's database is there already.\n")
            return
        profile = self.parts.profile(spec.version)
        iterations = self.preparer(spec.version).read(spec.version).password_iterations
        superadmin, admin = hash_passwords([spec.superadmin_password, spec.admin.password], iterations)
        login = Login(spec.admin.username, spec.admin.first_name, spec.admin.last_name, admin)
        draft = databases.draft(spec.id)
        draft.apply([*profile.accounts(superadmin, login), *profile.event(spec.event)])
        databases.replace(draft, databases.instance(spec.id))
        self.parts.share_data(spec)

    def _rewrite_settings(self, spec: InstanceSpec) -> None:
        """What an operator has changed since (mail host, domain, logo) counts from the next start on."""
        self.parts.make_directories(self.parts.layout.instance(spec.id))
        self.parts.admit(spec, spec.version)
        self.parts.write_settings(spec, spec.version)


def _without_none(*steps: Step | None) -> Plan:
    """A plan of the steps that this kind of host has."""
    return tuple(step for step in steps if step is not None)
