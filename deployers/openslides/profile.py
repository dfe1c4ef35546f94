"""What a deployer must know of OpenSlides. Each major version's file answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deployers.databases.database import Update
from deployers.routers.address import Address
from deployers.spec import Event

SUPERADMIN_ID = 1
LOCAL_ADMIN_ID = 2


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """An instance's account in Redis (ACL), and what all its keys and channels begin with."""

    socket: Path
    username: str
    password: str = field(repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The values of an instance's settings file, as far as they differ from one instance to another."""

    secret_key: str = field(repr=False)
    database: dict[str, object]
    data: Path
    media: Path
    static_root: Path
    own_static: Path
    hosts: list[str]
    time_zone: str
    cookie_suffix: str
    mail_host: str | None
    mail_port: int
    mail_socket: Path | None = None
    redis: RedisAccess | None = None
    accelerated_media: bool = False
    secure_cookies: bool = False
    mail_from: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """The local administrator as it is written to the database: ``password`` is a hash in Django's format."""

    username: str
    first_name: str
    last_name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logo:
    """Where the projector looks for its logo.

    ``file``: below the static files. ``config_key`` and ``url``: the configuration value that must
    point to it, None where the file alone is enough.
    """

    file: str
    config_key: str | None = None
    url: str | None = None


class Profile(Protocol):
    """One major version of OpenSlides. Arguments of programs are those of the version's own Python."""

    @property
    def major(self) -> int: ...

    @property
    def version_path(self) -> str:
        """The URL path whose answer is JSON with the key ``openslides_version``."""
        ...

    @property
    def login_path(self) -> str:
        """The URL path of the page at which people log in."""
        ...

    @property
    def server_time_path(self) -> str:
        """The URL path whose answer is the server's time, in seconds since 1970; clients ask for it first."""
        ...

    @property
    def kept_tables(self) -> tuple[str, ...]:
        """Tables with what people have written, whose rows no migration takes away."""
        ...

    @property
    def admin_groups(self) -> tuple[str, ...]:
        """Names of the group of administrators, the best first: ids differ between versions."""
        ...

    @property
    def logo(self) -> Logo: ...

    def settings(self, surroundings: Surroundings) -> str:
        """The text of settings.py."""
        ...

    @property
    def lives_under_prefix(self) -> bool:
        """Whether the client can live below a path: none can, their index.html has ``<base href="/">``.

        Source: openslides 2.1 to 2.3 static/templates/index.html, 3.0 to 3.3 static/index.html; requests of the 3.x
        client begin with "/apps", "/rest" and "/ws" as well.
        """
        ...

    @property
    def media_url(self) -> str:
        """The URL path below which uploaded files are asked for; each by the rules of OpenSlides."""
        ...

    def needs_redis(self, address: Address, workers: int) -> bool:
        """Whether ``serve`` with these makes processes that must meet in Redis."""
        ...

    def serve(self, address: Address, workers: int = 1) -> tuple[str, ...]:
        """The server process of an instance, which starts the others if there are more."""
        ...

    def migrate(self) -> tuple[str, ...]: ...

    def collect_static(self) -> tuple[str, ...]: ...

    def add_user(self, username: str, password: str, group_id: int) -> tuple[str, ...]:
        """The password is visible in the list of processes: only for one that is replaced afterwards."""
        ...

    def set_config(self, key: str, value: str) -> tuple[str, ...]: ...

    def send_test_mail(self, recipient: str) -> tuple[str, ...]: ...

    def accounts(self, superadmin_password: str, admin: Login) -> tuple[Update, ...]:
        """Rows of the superadmin and the local administrator; passwords are hashes."""
        ...

    def event(self, event: Event) -> tuple[Update, ...]: ...

    @property
    def volatile_tables(self) -> tuple[str, ...]:
        """Tables that are emptied in a template."""
        ...
