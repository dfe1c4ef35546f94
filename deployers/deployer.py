"""A deployer: turns what is wanted into plans, and reads back what is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from deployers.backups.store import Archive
from deployers.plan import Plan
from deployers.spec import DomainSpec, InstanceSpec, Location, OrphanSpec, VersionSpec
from deployers.states import UnitState


class Deployer(Protocol):
    """What the domain (``instances``) knows of a host. Making a plan touches nothing; running its steps does."""

    def prepare(self, version: VersionSpec) -> Plan:
        """Fetch or build the version, collect its static files, make its template database. Once per version."""
        ...

    def discard(self, version: VersionSpec) -> Plan:
        """Take away what ``prepare`` made. No instance may use the version any more."""
        ...

    def create(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        """``archive``: with the data of this backup (of any instance, made with the same release of OpenSlides)
        instead of a new event's."""
        ...

    def start(self, spec: InstanceSpec, wake: bool = True) -> Plan:
        """``wake``: whether OpenSlides must have answered in the end, also where it could sleep until it is asked."""
        ...

    def stop(self, spec: InstanceSpec) -> Plan: ...

    def update(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        """Move the instance to ``target``, after a backup into ``archive``; whatever fails brings everything back.

        ``token`` names this one update (the operation's id), so that a
        plan which is run again after an interruption does not take the half-updated data for the original.
        ``running``: whether the instance runs afterwards; the new version is tried out in either case."""
        ...

    def remove(self, spec: InstanceSpec, archive: Archive | None = None) -> Plan:
        """``archive``: take a last backup into it first, if there is still anything to back up."""
        ...

    def backup(self, spec: InstanceSpec, archive: Archive) -> Plan:
        """Write the instance's database, media and settings into ``archive``. It may run meanwhile."""
        ...

    def restore(
        self, spec: InstanceSpec, target: VersionSpec, token: str, archive: Archive, running: bool = True
    ) -> Plan:
        """Replace the instance's data by those of ``archive``, which was made with ``target``.

        Whatever fails brings everything back. ``token`` and ``running``: as in ``update``.
        """
        ...

    def verify(self, version: VersionSpec, db: str, archive: Archive) -> Plan:
        """Restore ``archive``, made with ``version``, into a database that nobody uses, read it, and drop it again."""
        ...

    def orphans(self, known: Collection[str], versions: Collection[VersionSpec] | None = None) -> list[OrphanSpec]:
        """What is on the host and belongs to none of the instances ``known`` (ids, in any state but removed).

        Also what was prepared and belongs to none of the ``versions``, if those are given.

        Raises DeployError.
        """
        ...

    def remove_orphan(self, orphan: OrphanSpec) -> None:
        """Also when it is gone already. Raises DeployError."""
        ...

    def send_test_mail(self, spec: InstanceSpec, recipient: str) -> Plan:
        """Send a mail with the instance's own settings, on the way that its OpenSlides uses. It need not run."""
        ...

    def is_prepared(self, version: VersionSpec) -> bool: ...

    def open_domain(self, domain: DomainSpec) -> None:
        """Serve the domain as it is described here, if it is not yet. Raises DomainRefused."""
        ...

    def close_domain(self, domain: DomainSpec) -> None:
        """Serve it no more. Raises DomainRefused."""
        ...

    def states(self) -> dict[str, UnitState]:
        """The state of every instance that the host knows, by instance id; one call for the whole host.

        Raises ServiceManagerUnreachable.
        """
        ...

    def connections(self) -> Mapping[str, int]:
        """How many connections are open to each instance now, by its id; without those that have none. One read."""
        ...

    def url(self, location: Location) -> str:
        """The address of the instance, with scheme and trailing slash; empty while it has none."""
        ...

    def port_is_free(self, port: int) -> bool:
        """Whether nothing on this host listens on the loopback port."""
        ...
