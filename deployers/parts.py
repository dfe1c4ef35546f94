"""The parts of a host's deployer, and what is made of several of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployers.caches.cache import CacheServer
from deployers.commands import run
from deployers.databases.database import Database, DatabaseServer
from deployers.engines.engine import Engine, Process
from deployers.errors import DataOfOtherRelease, InstanceMissing, UnknownDatabase, UnknownEngine
from deployers.files import make_private_directory, write_private
from deployers.layout import InstancePaths, Layout
from deployers.logo import place_logo
from deployers.mail import Mail
from deployers.openslides.profile import Profile, Surroundings
from deployers.openslides.releases import profile_for
from deployers.plan import Log
from deployers.readiness import wait_until_ready
from deployers.routers.router import Router
from deployers.separation import Separation, python_environment
from deployers.services.service import Service, ServiceManager
from deployers.spec import InstanceSpec, VersionSpec
from deployers.states import UnitState

COOKIE_SUFFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: ``ready`` from the start of an instance to its first answer, ``prepare`` for each command of a
    preparation, ``migrate`` for the migration of an update."""

    ready: float = 60
    prepare: float = 900
    migrate: float = 600


@dataclass(frozen=True, slots=True)
class Parts:
    """What a host is made of. ``engines``: by the key in VersionSpec.engine; ``databases``: by InstanceSpec.db."""

    layout: Layout
    services: ServiceManager
    engines: Mapping[str, Engine]
    databases: Mapping[str, DatabaseServer]
    cache: CacheServer
    router: Router
    separation: Separation
    mail: Mail
    timeouts: Timeouts
    time_zone: str

    def database(self, spec: InstanceSpec) -> DatabaseServer:
        """Raises UnknownDatabase."""
        try:
            return self.databases[spec.db]
        except KeyError:
            raise UnknownDatabase(spec.db, tuple(self.databases)) from None

    def engine(self, version: VersionSpec) -> Engine:
        """Raises UnknownEngine."""
        try:
            return self.engines[version.engine]
        except KeyError:
            raise UnknownEngine(version.engine, tuple(self.engines)) from None

    def release(self, version: VersionSpec) -> str:
        """Raises UnknownEngine, UnknownImage."""
        return self.engine(version).release(version)

    def profile(self, version: VersionSpec) -> Profile:
        """Raises UnknownEngine, UnknownImage, UnsupportedRelease."""
        return profile_for(self.release(version))

    def settings_text(self, spec: InstanceSpec, version: VersionSpec, database: Database) -> str:
        """The instance's settings.py when it uses ``version`` and ``database``."""
        paths = self.layout.instance(spec.id)
        profile = self.profile(version)
        return profile.settings(
            Surroundings(
                secret_key=spec.secret_key,
                database=database.django(spec.database_password),
                data=paths.data,
                media=paths.media,
                static_root=self.layout.version(version).static,
                own_static=paths.static,
                hosts=self.router.hosts(spec),
                time_zone=self.time_zone,
                cookie_suffix="_" + spec.id[-COOKIE_SUFFIX_DIGITS:],
                mail_host=self.mail.host,
                mail_port=self.mail.port,
                mail_socket=self.mail.socket,
                redis=self.cache.access(spec.id, spec.cache_password) if self._needs_redis(spec, version) else None,
                accelerated_media=self.router.has_front,
                secure_cookies=self.router.url(spec.location).startswith("https:"),
                mail_from=f"noreply@{spec.domain}" if self.router.has_front else None,
            )
        )

    def write_settings(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Settings, release and logo of an instance that does not run: OpenSlides 3 reads its configuration once."""
        paths, database = self.layout.instance(spec.id), self.database(spec).instance(spec.id)
        write_private(paths.settings, self.settings_text(spec, version, database))
        self.separation.readable(paths.settings)
        write_private(paths.release, self.release(version) + "\n")
        logo = self.profile(version).logo
        place_logo(spec.logo, logo, paths.static, database)
        placed = paths.static / logo.file
        if placed.exists():
            self.separation.public(*(path for path in placed.parents if paths.static in path.parents), placed)

    @property
    def has_accounts(self) -> bool:
        """Whether instances have accounts on a server of this host."""
        return any(databases.has_accounts for databases in self.databases.values())

    def _needs_redis(self, spec: InstanceSpec, version: VersionSpec) -> bool:
        return self.profile(version).needs_redis(self.router.listen(spec), spec.workers)

    def admit(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Give the instance its accounts on the database server and the cache."""
        databases = self.database(spec)
        databases.admit(databases.instance(spec.id), spec.database_password, spec.workers)
        if self._needs_redis(spec, version):
            self.cache.admit(spec.id, spec.cache_password)

    def forget(self, instance_id: str) -> None:
        """Take away the instance's databases, its keys, and its accounts."""
        for databases in self.databases.values():
            databases.forget(instance_id)
        self.cache.dismiss(instance_id)

    def share_data(self, spec: InstanceSpec) -> None:
        """Let the instance change its database, where that is a file."""
        databases = self.database(spec)
        self.separation.writable(*databases.files(databases.instance(spec.id)))

    def check_data(self, spec: InstanceSpec) -> None:
        """Raises InstanceMissing, DataOfOtherRelease."""
        paths = self.layout.instance(spec.id)
        if not self.database(spec).instance(spec.id).exists():
            raise InstanceMissing(spec.id, "database")
        wanted = self.release(spec.version)
        found = paths.release.read_text(encoding="utf-8").strip() if paths.release.exists() else wanted
        if found != wanted:
            raise DataOfOtherRelease(spec.id, found, wanted)

    def service(self, spec: InstanceSpec, version: VersionSpec) -> Service:
        """The instance's process when it uses ``version``."""
        paths, engine, profile = self.layout.instance(spec.id), self.engine(version), self.profile(version)
        process = Process(
            profile.serve(self.router.listen(spec), spec.workers),
            python_environment(paths.directory, self.separation, home=paths.data),
            reads=(
                *self.separation.sees,
                paths.settings,
                paths.static,
                self.layout.version(version).static,
            ),
            writes=(paths.data, *self.router.writes(spec)),
            log=paths.log,
        )
        command = engine.service(version, process, spec.id)
        return Service(
            spec.id,
            command.argv,
            command.environment,
            paths.log,
            engine=version.engine,
            version_path=profile.version_path,
            idle_seconds=spec.idle_seconds,
            always_on=spec.always_on,
            asked=(version.engine, version.directory_name, *process.arguments),
            stop=engine.stop(spec.id),
            cleanup=engine.cleanup(spec.id),
        )

    def manage(self, spec: InstanceSpec, arguments: Sequence[str], log: Log) -> None:
        """Run a management command with the settings of an instance that was created. Raises DeployError."""
        paths = self.layout.instance(spec.id)
        process = Process(
            arguments,
            python_environment(paths.directory, self.separation, home=paths.data),
            reads=(*self.separation.sees, paths.settings, paths.static, self.layout.version(spec.version).static),
            writes=(paths.data,),
        )
        command = self.engine(spec.version).command(spec.version, process)
        run(command.argv, log=log, timeout=self.timeouts.ready, env=command.environment, cwd=self.layout.data_dir)

    def publish(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Let the instance's address lead to it."""
        self.router.publish(spec, self.layout.version(version).static, self.profile(version).major)

    def wait(self, spec: InstanceSpec, version: VersionSpec) -> None:
        """Raises NotReady."""
        wait_until_ready(
            self.router.front(spec),
            self.profile(version).version_path,
            self.release(version),
            timeout=self.timeouts.ready,
            has_given_up=lambda: self.services.has_given_up(spec.id),
            log_tail=lambda: self.services.log_tail(spec.id),
        )

    def check_port(self, spec: InstanceSpec) -> None:
        """Raises PortTaken, unless it is the instance's own service that listens."""
        if self.services.state(spec.id) in (UnitState.STOPPED, UnitState.FAILED):
            self.router.check_free(spec)

    def make_directories(self, paths: InstancePaths) -> None:
        """The directories of an instance, readable by nobody else than the instance itself."""
        if paths.media.is_symlink():
            # The instance may change what is beside it: what is opened to it below must not be what its link leads to.
            paths.media.unlink()
        private = (paths.directory, paths.data, paths.media, paths.static, paths.log.parent, paths.previous)
        for directory in private:
            make_private_directory(directory)
        self.separation.passable(paths.directory)
        self.separation.writable(paths.data, paths.media)
        self.separation.public(paths.static)
        self.separation.served(paths.media)
