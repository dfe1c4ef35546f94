"""What a deployer is told: plain frozen data, so that it can be used and tested without a database."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """One OpenSlides version as a host needs to know it.

    ``image`` is the engine's reference: ``pypi:openslides==3.3`` for the engine ``virtualenv``. ``coming``: not the
    preparation that instances use, but the one that is being made, and takes its place when it is complete.
    """

    name: str
    image: str
    engine: str
    coming: bool = False

    @property
    def directory_name(self) -> str:
        """The image as the name of one directory: letters, digits, dot, hyphen; never empty, never ``..``."""
        name = re.sub(r"[^A-Za-z0-9.]+", "-", self.image).strip("-.") or "version"
        return f"{name}.coming" if self.coming else name


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """A domain that instances hang under. ``certificate`` and its key: paths on the host, '' for the host's own."""

    id: int
    name: str
    certificate: str = ""
    certificate_key: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """The four configuration values of an assembly, as the operator typed them."""

    name: str
    description: str = ""
    date: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """The local administrator of an instance."""

    first_name: str
    last_name: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Location:
    """What an instance's address is made of; no secret, so that lists of instances need none either."""

    slug: str
    domain: str
    mode: str
    port: int | None = None
    domain_id: int = 0


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One wanted instance.

    ``id``: 32 hexadecimal digits. ``db``: the key of a database server of the deployer ("sqlite"). ``port``: the
    loopback port of the router ``direct``, None where the router needs none. ``domain_id``: a number of the domain's
    own. On hosts where instances sleep: ``idle_seconds`` without a request, then it does; not if it is ``always_on``.
    ``workers``: server processes; more than one need a cache server.
    """

    id: str
    slug: str
    domain: str
    mode: str
    db: str
    version: VersionSpec
    event: Event
    admin: Account
    superadmin_password: str = field(repr=False)
    secret_key: str = field(repr=False)
    port: int | None = None
    logo: Path | None = None
    domain_id: int = 0
    certificate: str = ""
    certificate_key: str = ""
    idle_seconds: float = 900.0
    always_on: bool = False
    workers: int = 1

    @property
    def location(self) -> Location:
        return Location(self.slug, self.domain, self.mode, self.port, self.domain_id)

    @property
    def domain_spec(self) -> DomainSpec:
        return DomainSpec(self.domain_id, self.domain, self.certificate, self.certificate_key)

    @property
    def database_password(self) -> str:
        return self._derived("database")

    @property
    def cache_password(self) -> str:
        return self._derived("cache")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must not appear in a log or in an operation's output."""
        chosen = (self.superadmin_password, self.admin.password, self.secret_key)
        return tuple(secret for secret in (*chosen, self.database_password, self.cache_password) if secret)

    def _derived(self, purpose: str) -> str:
        """A password of the instance for one of the host's services: the same each time, and it tells no other."""
        return hmac.new(self.secret_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class OrphanSpec:
    """Something on a host that no instance owns.

    ``kind``: directory, database, role, service, container, cache_user, address or backup. ``name``: by which
    its part of the host finds it again. ``instance_id``: the one that it was made for, as far as its name says.
    """

    kind: str
    name: str
    instance_id: str = ""
