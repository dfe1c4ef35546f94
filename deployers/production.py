"""The production host: systemd, podman (and rkt, where it still is), nginx, PostgreSQL, Redis."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from deployers.caches.cache import CacheServer
from deployers.composed import ComposedDeployer
from deployers.databases.postgresql import PostgresServer
from deployers.databases.sqlite import SqliteServer
from deployers.deployer import Deployer
from deployers.engines.engine import Engine
from deployers.engines.podman import Podman, PodmanSettings
from deployers.engines.rkt import Rkt
from deployers.errors import HostNotSetUp, UnknownEngine
from deployers.layout import SystemdLayout
from deployers.mail import Mail
from deployers.parts import Parts, Timeouts
from deployers.routers.nginx import NginxLayout, NginxRouter
from deployers.separation import InstanceUser
from deployers.services.systemd import Systemd

HOST_FILE = Path("/etc/openslides-multiinstance/host.json")
INSIDE = Path(__file__).resolve().parent / "openslides" / "inside"
"""What every container may import: OpenSlides' side of the unix sockets."""
MAIL_DIRECTORY = Path("/run/openslides/mail")
"""Where openslides_mail.socket listens; the directory, because a socket that is made again is another file."""
IMAGE_PYTHON_PATH = Path("/app")
"""Where the images that were published for OpenSlides 2 have it."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the set-up of the machine found and decided; host.json."""

    instance_uid: int
    mail: Mail

    @classmethod
    def read(cls, file: Path = HOST_FILE) -> HostFacts:
        """Raises HostNotSetUp."""
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            mail = Mail(read["mail_relay_host"], int(read["mail_relay_port"]), MAIL_DIRECTORY / "relay.sock")
            return cls(int(read["instance_uid"]), mail)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostNotSetUp(str(file), f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class ProductionSettings:
    """What can be chosen of a production host. ``engines``: "podman", "rkt". ``podman_options``: for all containers."""

    engines: tuple[str, ...]
    postgresql: PostgresServer
    cache: CacheServer
    podman: PodmanSettings
    timeouts: Timeouts = field(default_factory=Timeouts)
    time_zone: str = "Europe/Berlin"


def _engine(key: str, layout: SystemdLayout, settings: ProductionSettings, facts: HostFacts) -> Engine:
    """Raises UnknownEngine."""
    if key == "podman":
        return Podman(layout, settings.podman)
    if key == "rkt":
        return Rkt(layout, facts.instance_uid, settings.podman.pull_timeout)
    raise UnknownEngine(key, ("podman", "rkt"))


def production_deployer(settings: ProductionSettings) -> Deployer:
    """Touches nothing but host.json. Raises HostNotSetUp, UnknownEngine."""
    layout = SystemdLayout()
    facts = HostFacts.read()
    engines = {key: _engine(key, layout, settings, facts) for key in settings.engines}
    sockets = (Path("/run/postgresql"), Path("/run/redis-openslides"), MAIL_DIRECTORY)
    return ComposedDeployer(
        Parts(
            layout=layout,
            services=Systemd(layout, settings.engines, facts.instance_uid),
            engines=engines,
            databases={"postgresql": settings.postgresql, "sqlite": SqliteServer(layout)},
            cache=settings.cache,
            router=NginxRouter(NginxLayout()),
            separation=InstanceUser(
                uid=facts.instance_uid,
                owner=os.geteuid(),
                web_server="www-data",
                python_path=(INSIDE, IMAGE_PYTHON_PATH),
                sees=(INSIDE, *sockets),
            ),
            mail=facts.mail,
            timeouts=settings.timeouts,
            time_zone=settings.time_zone,
        )
    )
