"""A deployer: turns what is wanted into plans, and reads back what is there."""

from __future__ import annotations

from typing import Protocol

from deployers.plan import Plan
from deployers.spec import DomainSpec, InstanceSpec, Location, VersionSpec
from deployers.states import UnitState


class Deployer(Protocol):
    """What the domain (``instances``) knows of a host. Making a plan touches nothing; running its steps does."""

    def prepare(self, version: VersionSpec) -> Plan:
        """Fetch or build the version, collect its static files, make its template database. Once per version."""
        ...

    def discard(self, version: VersionSpec) -> Plan:
        """Take away what ``prepare`` made. No instance may use the version any more."""
        ...

    def create(self, spec: InstanceSpec) -> Plan: ...

    def start(self, spec: InstanceSpec, wake: bool = True) -> Plan:
        """``wake``: whether OpenSlides must have answered in the end, also where it could sleep until it is asked."""
        ...

    def stop(self, spec: InstanceSpec) -> Plan: ...

    def update(self, spec: InstanceSpec, target: VersionSpec, token: str, running: bool = True) -> Plan:
        """Move the instance to ``target``. ``token`` names this one update (the operation's id), so that a
        plan which is run again after an interruption does not take the half-updated data for the original.
        ``running``: whether the instance runs afterwards; the new version is tried out in either case."""
        ...

    def remove(self, spec: InstanceSpec) -> Plan: ...

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

    def url(self, location: Location) -> str:
        """The address of the instance, with scheme and trailing slash; empty while it has none."""
        ...

    def port_is_free(self, port: int) -> bool:
        """Whether nothing on this host listens on the loopback port."""
        ...
