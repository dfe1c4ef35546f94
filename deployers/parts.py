"""The parts of a host's deployer, and what is made of several of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployers.databases.database import Database, DatabaseServer
from deployers.engines.engine import Engine
from deployers.errors import DataOfOtherRelease, InstanceMissing, UnknownDatabase
from deployers.files import make_private_directory, tail, write_private
from deployers.layout import InstancePaths, Layout
from deployers.logo import place_logo
from deployers.openslides.profile import Profile, Surroundings
from deployers.openslides.releases import profile_for
from deployers.readiness import wait_until_ready
from deployers.routers.router import Router
from deployers.services.service import Service, ServiceManager
from deployers.spec import InstanceSpec, VersionSpec
from deployers.states import UnitState

COOKIE_SUFFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """What a host is made of. ``databases``: by the key in InstanceSpec.db. Times in seconds."""

    layout: Layout
    services: ServiceManager
    engine: Engine
    databases: Mapping[str, DatabaseServer]
    router: Router
    ready_timeout: float
    prepare_timeout: float
    migrate_timeout: float
    mail_host: str | None
    mail_port: int
    time_zone: str

    def database(self, spec: InstanceSpec) -> DatabaseServer:
        """Raises UnknownDatabase."""
        try:
            return self.databases[spec.db]
        except KeyError:
            raise UnknownDatabase(spec.db, tuple(self.databases)) from None

    def profile(self, version: VersionSpec) -> Profile:
        """Raises UnknownImage, UnsupportedRelease."""
        return profile_for(self.engine.release(version))

    def settings_text(self, spec: InstanceSpec, version: VersionSpec, database: Database) -> str:
        """The instance's settings.py when it uses ``version`` and ``database``."""
        paths = self.layout.instance(spec.id)
        return self.profile(version).settings(
            Surroundings(
                secret_key=spec.secret_key,
                database=database.django(),
                data=paths.data,
                media=paths.media,
                static_root=self.layout.version(version).static,
                own_static=paths.static,
                hosts=self.router.hosts(spec),
                time_zone=self.time_zone,
                cookie_suffix="_" + spec.id[-COOKIE_SUFFIX_DIGITS:],
                mail_host=self.mail_host,
                mail_port=self.mail_port,
            )
        )

    def write_settings(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Settings, release and logo of an instance that does not run: OpenSlides 3 reads its configuration once."""
        paths, database = self.layout.instance(spec.id), self.database(spec).instance(spec.id)
        write_private(paths.settings, self.settings_text(spec, version, database))
        write_private(paths.release, self.engine.release(version) + "\n")
        place_logo(spec.logo, self.profile(version).logo, paths.static, database)

    def check_data(self, spec: InstanceSpec) -> None:
        """Raises InstanceMissing, DataOfOtherRelease."""
        paths = self.layout.instance(spec.id)
        if not self.database(spec).instance(spec.id).exists():
            raise InstanceMissing(spec.id, "database")
        wanted = self.engine.release(spec.version)
        found = paths.release.read_text(encoding="utf-8").strip() if paths.release.exists() else wanted
        if found != wanted:
            raise DataOfOtherRelease(spec.id, found, wanted)

    def service(self, spec: InstanceSpec, version: VersionSpec) -> Service:
        """The instance's process when it uses ``version``."""
        paths = self.layout.instance(spec.id)
        arguments = self.profile(version).serve(self.router.listen(spec))
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(paths.data),
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(paths.directory),
            "PYTHONUNBUFFERED": "1",
            # A compiled settings.py would be a second place where the secret key lies.
            "PYTHONDONTWRITEBYTECODE": "1",
            # supervisord's working directory is no place to import from.
            "PYTHONSAFEPATH": "1",
        }
        return Service(spec.id, self.engine.command(version, arguments), environment, paths.log)

    def wait(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Raises NotReady."""
        wait_until_ready(
            self.router.listen(spec),
            self.profile(version).version_path,
            self.engine.release(version),
            timeout=self.ready_timeout,
            has_given_up=lambda: self.services.has_given_up(spec.id),
            log_tail=lambda: tail(self.layout.instance(spec.id).log),
        )

    def check_port(self, spec: InstanceSpec) -> None:
        """Raises PortTaken, unless it is the instance's own service that listens."""
        if self.services.state(spec.id) in (UnitState.STOPPED, UnitState.FAILED):
            self.router.check_free(spec)


def make_directories(paths: InstancePaths) -> None:
    """The directories of an instance, readable by nobody else."""
    directories = (paths.directory, paths.data, paths.media, paths.static, paths.log.parent, paths.previous)
    for directory in directories:
        make_private_directory(directory)
