"""What a deployer is told: plain frozen data, so that it can be used and tested without a database."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """One OpenSlides version as a host needs to know it.

    ``image`` is the engine's reference: ``pypi:openslides==3.3`` for the engine ``virtualenv``.
    """

    name: str
    image: str
    engine: str

    @property
    def directory_name(self) -> str:
        """The image as the name of one directory: letters, digits, dot, hyphen; never empty, never ``..``."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.image).strip("-.") or "version"


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


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One wanted instance.

    ``id``: 32 hexadecimal digits. ``db``: the key of a database server of the deployer ("sqlite").
    ``port``: the loopback port of the router ``direct``, None where the router needs none.
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

    @property
    def location(self) -> Location:
        return Location(self.slug, self.domain, self.mode, self.port)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must not appear in a log or in an operation's output."""
        return tuple(s for s in (self.superadmin_password, self.admin.password, self.secret_key) if s)
