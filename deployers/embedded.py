"""The embedded host: no root, no container, nothing but Python. The default of ``make run``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deployers.composed import ComposedDeployer
from deployers.databases.sqlite import SqliteServer
from deployers.deployer import Deployer
from deployers.engines.virtualenv import Virtualenv, base_interpreter
from deployers.layout import Layout
from deployers.parts import Parts
from deployers.routers.direct import DirectRouter
from deployers.services.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What can be chosen of an embedded host. Times in seconds.

    ``ready_timeout``: from the start of an instance's process to its first answer. ``prepare_timeout``:
    each command of a preparation. ``migrate_timeout``: the migration of an update. ``mail_host``: None
    leaves OpenSlides' default. ``python``: what virtual environments are made with.
    """

    data_dir: Path
    ready_timeout: float = 60
    prepare_timeout: float = 900
    migrate_timeout: float = 600
    mail_host: str | None = None
    mail_port: int = 25
    time_zone: str = "Europe/Berlin"
    python: Path = field(default_factory=base_interpreter)


def embedded_deployer(settings: EmbeddedSettings) -> Deployer:
    """Touches nothing. Raises UnusablePath (for example, where supervisor's socket would have too long a path)."""
    layout = Layout(settings.data_dir)
    return ComposedDeployer(
        Parts(
            layout=layout,
            services=Supervisor(layout),
            engine=Virtualenv(layout, settings.python, settings.prepare_timeout),
            databases={"sqlite": SqliteServer(layout)},
            router=DirectRouter(),
            ready_timeout=settings.ready_timeout,
            prepare_timeout=settings.prepare_timeout,
            migrate_timeout=settings.migrate_timeout,
            mail_host=settings.mail_host or None,
            mail_port=settings.mail_port,
            time_zone=settings.time_zone,
        )
    )
