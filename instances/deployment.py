"""Which deployer looks after which kind of host."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from deployers.deployer import Deployer
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.mail import Mail
from deployers.parts import Timeouts
from instances.choices import HostKind


class UnsupportedHost(Exception):
    """There is no deployer for this kind of host."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            f"Hosts of the kind {kind!r} are not supported by this installation (DEPLOYMENT={settings.DEPLOYMENT}). "
            "Use a host of the other kind."
        )


@lru_cache(maxsize=4)
def deployer_for(kind: str) -> Deployer:
    """The deployer of a kind of host. It holds no connection and may be used by several threads.

    Raises UnsupportedHost; HostNotSetUp on a production host.
    """
    if kind == HostKind.EMBEDDED and settings.DEPLOYMENT == "embedded":
        return embedded_deployer(
            EmbeddedSettings(
                data_dir=settings.DATA_DIR,
                timeouts=_timeouts(),
                mail=Mail(settings.INSTANCE_MAIL_HOST or None, settings.INSTANCE_MAIL_PORT),
                time_zone=settings.TIME_ZONE,
            )
        )
    if kind == HostKind.SYSTEMD and settings.DEPLOYMENT == "systemd":
        return _production()
    raise UnsupportedHost(kind)


def _timeouts() -> Timeouts:
    return Timeouts(settings.READY_TIMEOUT, settings.PREPARE_TIMEOUT, settings.MIGRATE_TIMEOUT)


def _production() -> Deployer:
    # Imported here: an embedded installation has no client for D-Bus and Redis.
    from deployers.caches.redis import RedisServer
    from deployers.databases.postgresql import PostgresServer
    from deployers.databases.postgresql_server import Server
    from deployers.engines.podman import PodmanSettings
    from deployers.production import ProductionSettings, production_deployer

    database = settings.DATABASES["default"]
    return production_deployer(
        ProductionSettings(
            engines=tuple(settings.ENGINES),
            postgresql=PostgresServer(
                Server(
                    host=database["HOST"],
                    user=database["USER"],
                    database=database["NAME"],
                    port=int(database["PORT"] or 5432),
                    password=database["PASSWORD"],
                )
            ),
            cache=RedisServer(settings.INSTANCE_REDIS_URL),
            podman=PodmanSettings(
                home=Path(settings.PODMAN_HOME),
                runtime=Path(settings.PODMAN_RUNTIME),
                cgroups=settings.PODMAN_CGROUPS,
                options=tuple(settings.PODMAN_OPTIONS),
                pull_timeout=settings.PREPARE_TIMEOUT,
            ),
            timeouts=_timeouts(),
            time_zone=settings.TIME_ZONE,
        )
    )
