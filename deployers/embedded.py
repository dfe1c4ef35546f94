"""The embedded host: no root, no container, nothing but Python. The default of ``make run``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deployers.caches.none import NoCache
from deployers.composed import ComposedDeployer
from deployers.databases.sqlite import SqliteServer
from deployers.deployer import Deployer
from deployers.engines.virtualenv import Virtualenv, base_interpreter
from deployers.layout import EmbeddedLayout
from deployers.mail import Mail
from deployers.parts import Parts, Timeouts
from deployers.routers.direct import DirectRouter
from deployers.separation import NoSeparation
from deployers.services.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What can be chosen of an embedded host. ``python``: what virtual environments are made with."""

    data_dir: Path
    timeouts: Timeouts = field(default_factory=Timeouts)
    mail: Mail = field(default_factory=Mail)
    time_zone: str = "Europe/Berlin"
    python: Path = field(default_factory=base_interpreter)


def embedded_deployer(settings: EmbeddedSettings) -> Deployer:
    """Touches nothing. Raises UnusablePath (for example, where supervisor's socket would have too long a path)."""
    layout = EmbeddedLayout(settings.data_dir)
    return ComposedDeployer(
        Parts(
            layout=layout,
            services=Supervisor(layout),
            engines={"virtualenv": Virtualenv(layout, settings.python, settings.timeouts.prepare)},
            databases={"sqlite": SqliteServer(layout)},
            cache=NoCache(),
            router=DirectRouter(),
            separation=NoSeparation(),
            mail=settings.mail,
            timeouts=settings.timeouts,
            time_zone=settings.time_zone,
        )
    )
