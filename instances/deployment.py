"""Which deployer looks after which kind of host."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from deployers.deployer import Deployer
from deployers.embedded import EmbeddedSettings, embedded_deployer
from instances.choices import HostKind


class UnsupportedHost(Exception):
    """There is no deployer for this kind of host."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"Hosts of the kind {kind!r} are not supported by this installation. Use an embedded host.")


@lru_cache(maxsize=4)
def deployer_for(kind: str) -> Deployer:
    """The deployer of a kind of host. It holds no connection and may be used by several threads.

    Raises UnsupportedHost.
    """
    if kind != HostKind.EMBEDDED:
        raise UnsupportedHost(kind)
    return embedded_deployer(
        EmbeddedSettings(
            data_dir=settings.DATA_DIR,
            ready_timeout=settings.READY_TIMEOUT,
            prepare_timeout=settings.PREPARE_TIMEOUT,
            migrate_timeout=settings.MIGRATE_TIMEOUT,
            mail_host=settings.INSTANCE_MAIL_HOST,
            mail_port=settings.INSTANCE_MAIL_PORT,
            time_zone=settings.TIME_ZONE,
        )
    )
