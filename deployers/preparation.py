"""Prepares a version: everything that all its instances share is made once."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deployers.commands import run
from deployers.databases.database import Database, DatabaseServer, Update
from deployers.engines.engine import Engine, Process
from deployers.errors import DeployError, NotPrepared, PreparationBroken
from deployers.files import make_private_directory, remove_tree, write_private
from deployers.layout import Layout
from deployers.openslides import shared
from deployers.openslides.passwords import iterations_of, unusable
from deployers.openslides.profile import LOCAL_ADMIN_ID, SUPERADMIN_ID, Profile, Surroundings
from deployers.openslides.releases import profile_for
from deployers.plan import Action, Log, Plan, Step
from deployers.separation import Separation, python_environment
from deployers.spec import VersionSpec

PLACEHOLDER = "local-administrator"
"""The local administrator of a template, who gets the real name in the copy."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What prepared.json says. ``password_iterations``: those of this version's Django."""

    image: str
    release: str
    admin_group: str
    password_iterations: int


@dataclass(frozen=True, slots=True)
class Management:
    """Runs management commands of OpenSlides. ``timeout``: seconds for each."""

    engine: Engine
    separation: Separation
    timeout: float

    def run(
        self, version: VersionSpec, arguments: Sequence[str], settings: Path, writes: Sequence[Path], log: Log
    ) -> None:
        """With the settings.py in the directory ``settings``; ``writes``: the directories that the command changes."""
        # What an earlier command made in there is its own already, and only the owner of a file can share it.
        mine = [path for path in (settings, *settings.rglob("*")) if path.lstat().st_uid == os.geteuid()]
        self.separation.readable(*mine)
        self.separation.writable(*writes)
        environment = python_environment(settings, self.separation, home=settings)
        process = Process(arguments, environment, reads=(*self.separation.sees, settings), writes=tuple(writes))
        command = self.engine.command(version, process)
        run(command.argv, log=log, timeout=self.timeout, env=command.environment, cwd=settings)


class Preparer:
    """Makes the plan of a preparation, and tells whether there is one.

    prepared.json is written last: without it there is no preparation, whatever else is there. An
    interrupted one is begun again.
    """

    def __init__(
        self, layout: Layout, engine: Engine, databases: Mapping[str, DatabaseServer], management: Management
    ) -> None:
        self.layout = layout
        self.engine = engine
        self.databases = databases
        self.management = management

    def plan(self, version: VersionSpec) -> Plan:
        """Raises UnknownImage, UnsupportedRelease."""
        profile = profile_for(self.engine.release(version))

        def discard(log: Log) -> None:
            # A complete one may be in use, and was not made by this plan.
            if not self.layout.version(version).prepared.exists():
                self.discard(version)

        def unless_complete(action: Action) -> Action:
            def do(log: Log) -> None:
                if self.layout.version(version).prepared.exists():
                    log("Kept from an earlier preparation.\n")
                else:
                    action(log)

            return do

        look = Step("look for an earlier preparation", lambda log: self._look(version, log), discard)
        renew = Step(
            "look for a newer image",
            lambda log: self._renew(version, profile, log),
            lambda log: self.discard(replace(version, coming=True)),
        )
        first = (look, renew) if self.engine.names_move else (look,)
        return (*first, *(Step(name, unless_complete(do)) for name, do in self._actions(version, profile)))

    def _actions(self, version: VersionSpec, profile: Profile) -> list[tuple[str, Action]]:
        return [
            *self.engine.install(version),
            ("build the template database", lambda log: self._build_templates(version, profile, log)),
            ("collect static files", lambda log: self._collect_static(version, profile, log)),
            ("mark the version as prepared", lambda log: self._finish(version, profile)),
        ]

    def _renew(self, version: VersionSpec, profile: Profile, log: Log) -> None:
        """Prepare a newer image beside the one in use, and put it in its place when it is complete.

        Instances that run are not touched: they have the newer image from their next start on.
        """
        self._put_in_place(version)
        if not self.layout.version(version).prepared.exists():
            log("Nothing is prepared yet.\n")
            return
        if not self.engine.outdated(version, log):
            log("The image has not changed.\n")
            return
        coming = replace(version, coming=True)
        self.discard(coming)
        make_private_directory(self.layout.version(coming).directory)
        for name, action in self._actions(coming, profile):
            log(f"{name}\n")
            action(log)
        write_private(self.layout.version(coming).arriving, "")
        self._put_in_place(version)

    def _put_in_place(self, version: VersionSpec) -> None:
        """The rest of a renewal, as much of it as an interruption has left."""
        coming = replace(version, coming=True)
        here, new = self.layout.version(version), self.layout.version(coming)
        if new.arriving.exists():
            remove_tree(here.directory)
            new.directory.rename(here.directory)
        if here.arriving.exists():
            for server in self.databases.values():
                template = server.template(coming)
                if template.exists():
                    server.replace(template, server.template(version))
            here.arriving.unlink()

    def discard(self, version: VersionSpec) -> None:
        """Take away all that was prepared, completely or half."""
        paths = self.layout.version(version)
        paths.prepared.unlink(missing_ok=True)
        for server in self.databases.values():
            server.drop(server.template(version))
        self.engine.discard(version)
        remove_tree(paths.directory)

    def missing(self, version: VersionSpec) -> str | None:
        """What a usable preparation lacks, at a glance; None if it looks complete."""
        paths = self.layout.version(version)
        try:
            self._load(version)
        except (OSError, ValueError, TypeError):
            return str(paths.prepared)
        for server in self.databases.values():
            template = server.template(version)
            if not template.exists():
                return template.name
        return self.engine.missing(version)

    def check(self, version: VersionSpec) -> None:
        """Raises NotPrepared."""
        missing = self.missing(version)
        if missing is not None:
            raise NotPrepared(version.name, missing)

    def read(self, version: VersionSpec) -> Preparation:
        """Raises NotPrepared."""
        try:
            return self._load(version)
        except (OSError, ValueError, TypeError):
            raise NotPrepared(version.name, str(self.layout.version(version).prepared)) from None

    def _load(self, version: VersionSpec) -> Preparation:
        return Preparation(**json.loads(self.layout.version(version).prepared.read_text(encoding="utf-8")))

    def _look(self, version: VersionSpec, log: Log) -> None:
        """Keep a complete preparation, clear away anything else."""
        directory = self.layout.version(version).directory
        reason = self._damage(version)
        if reason is None:
            log("It is prepared already.\n")
            return
        if directory.exists():
            log(f"An earlier preparation is done again: {reason}\n")
        self.discard(version)
        make_private_directory(directory)

    def _damage(self, version: VersionSpec) -> str | None:
        missing = self.missing(version)
        if missing is not None:
            return f"{missing} is missing"
        static = self.layout.version(version).static
        if not static.is_dir() or not any(static.iterdir()):
            return f"{static} is missing"
        try:
            self.engine.check(version)
            for server in self.databases.values():
                template = server.template(version)
                template.check()
                _accounts(template, version)
        except DeployError as error:
            return str(error)
        return None

    def _build_templates(self, version: VersionSpec, profile: Profile, log: Log) -> None:
        for key, server in self.databases.items():
            log(f"Template for {key}\n")
            template = server.template(version)
            server.drop(template)
            password = secrets.token_urlsafe()
            server.make_empty(template, password)
            self.management.separation.writable(*server.files(template))
            self._write_build_settings(version, profile, template, password)
            self._manage(version, profile.migrate(), log)
            # OpenSlides 2.1 has no row for a value that was never changed.
            present = {key for (key,) in template.rows(shared.CONFIG_TABLE, ("key",))}
            for key in shared.EVENT_KEYS:
                if key not in present:
                    self._manage(version, profile.set_config(key, ""), log)
            group_id, _name = _admin_group(template, profile, version)
            # The password is seen in the list of processes, so it is one that nobody ever uses. It has no hyphen: one
            # that begins with it would be an option.
            self._manage(version, profile.add_user(PLACEHOLDER, secrets.token_hex(32), group_id), log)

    def _collect_static(self, version: VersionSpec, profile: Profile, log: Log) -> None:
        """After the template: OpenSlides 2 reads its database for that."""
        static = self.layout.version(version).static
        if static.exists():
            shutil.rmtree(static)
        static.mkdir()
        self.management.separation.served(static)
        self._manage(version, profile.collect_static(), log)
        log(f"{sum(1 for path in static.rglob('*') if path.is_file())} files\n")

    def _finish(self, version: VersionSpec, profile: Profile) -> None:
        """Nobody can log in to a template; its copies get passwords of their own."""
        group, iterations = "", 0
        for server in self.databases.values():
            template = server.template(version)
            accounts = _accounts(template, version)
            if accounts[LOCAL_ADMIN_ID].startswith("!"):
                raise PreparationBroken(version.name, "its template database was already finished")
            # Not the superadmin's: OpenSlides 2.1 makes that one with MD5.
            iterations = iterations_of(accounts[LOCAL_ADMIN_ID])
            _group_id, group = _admin_group(template, profile, version)
            lock = [
                Update(shared.USER_TABLE, {"password": unusable(), "default_password": ""}, {"id": number})
                for number in (SUPERADMIN_ID, LOCAL_ADMIN_ID)
            ]
            template.apply(lock, empty=profile.volatile_tables)
            server.dismiss(template)
        paths = self.layout.version(version)
        remove_tree(paths.build)
        made = Preparation(version.image, self.engine.release(version), group, iterations)
        write_private(paths.prepared, json.dumps(asdict(made), indent=2) + "\n")

    def _write_build_settings(self, version: VersionSpec, profile: Profile, template: Database, password: str) -> None:
        paths = self.layout.version(version)
        make_private_directory(paths.build)
        surroundings = Surroundings(
            secret_key=secrets.token_urlsafe(48),
            database=template.django(password),
            data=paths.build,
            media=paths.build / "media",
            static_root=paths.static,
            own_static=paths.build / "static",
            hosts=[],
            time_zone="UTC",
            cookie_suffix="",
            mail_host=None,
            mail_port=25,
        )
        make_private_directory(surroundings.own_static)
        write_private(paths.build / "settings.py", profile.settings(surroundings))

    def _manage(self, version: VersionSpec, arguments: Sequence[str], log: Log) -> None:
        paths = self.layout.version(version)
        self.management.run(version, arguments, paths.build, (paths.directory,), log)


def _accounts(template: Database, version: VersionSpec) -> dict[int, str]:
    """The password hashes of the two accounts, by id. Raises PreparationBroken, DatabaseUnusable."""
    accounts = {
        int(str(number)): str(password) for number, password in template.rows(shared.USER_TABLE, ("id", "password"))
    }
    if set(accounts) != {SUPERADMIN_ID, LOCAL_ADMIN_ID}:
        raise PreparationBroken(version.name, f"its template has accounts {sorted(accounts)} instead of 1 and 2")
    return accounts


def _admin_group(template: Database, profile: Profile, version: VersionSpec) -> tuple[int, str]:
    """Id and name of the best group of administrators; ids differ from version to version."""
    ids = {str(name): int(str(number)) for number, name in template.rows(shared.GROUP_TABLE, ("id", "name"))}
    for name in profile.admin_groups:
        if name in ids:
            return ids[name], name
    raise PreparationBroken(version.name, f"its groups are {sorted(ids)}, none of {list(profile.admin_groups)}")
