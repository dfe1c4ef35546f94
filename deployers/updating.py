"""The plan that moves an instance to another version of OpenSlides, and back if that fails.

What is on disk decides where a plan that is run again goes on. In ``previous/TOKEN/``:

    kept.json    the copy of database and settings from before is complete
    switched     the new version's data is in place: from here on it may have been used, and the copy is out of date

Both belong to one update (its token). The copy of the last update stays; older ones are removed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from deployers.errors import InstanceMissing
from deployers.files import copy_private, make_private_directory, remove_tree, write_private
from deployers.parts import Parts
from deployers.plan import Log, Plan, Step
from deployers.preparation import Management, Preparer
from deployers.spec import InstanceSpec, VersionSpec


class Updater:
    """Makes the plan for one update of one instance."""

    def __init__(
        self,
        parts: Parts,
        preparer: Preparer,
        spec: InstanceSpec,
        target: VersionSpec,
        token: str,
        running: bool,
    ) -> None:
        """Raises ValueError: ``token`` is not 1 to 64 letters, digits, ``_`` or ``-``."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", token):
            raise ValueError(f"{token!r} cannot be a directory's name")
        self.parts = parts
        self.preparer = preparer
        self.spec = spec
        self.target = target
        self.running = running
        self.paths = parts.layout.instance(spec.id)
        self.copy = self.paths.previous / token
        self.kept = self.copy / "kept.json"
        self.switched = self.copy / "switched"
        self.databases = parts.database(spec)
        self.database = self.databases.instance(spec.id)
        self.draft = self.databases.draft(spec.id)
        self.kept_database = self.databases.kept(spec.id, token)

    def plan(self) -> Plan:
        """Raises UnknownImage, UnsupportedRelease."""
        self.parts.profile(self.target), self.parts.profile(self.spec.version)
        name = self.target.name
        steps = [
            Step(f"check that {name} is prepared", lambda log: self._check()),
            # The only undo: everything that follows is taken back by putting the copy back.
            Step("stop the service", self._stop, self._go_back),
            Step("keep the data", self._keep),
            Step(f"migrate a copy of the data to {name}", self._migrate),
            Step(f"switch to {name}", self._switch),
            Step("start the service", lambda log: self._start(self.target)),
            Step("wait until OpenSlides answers", lambda log: self.parts.wait(self.spec, self.target)),
        ]
        if not self.running:
            steps.append(Step("stop the service again", self._stop_again))
        return tuple(steps)

    def _check(self) -> None:
        self.preparer.check(self.target)
        if not self.switched.exists() and not self.database.exists():
            raise InstanceMissing(self.spec.id, "database")

    def _stop(self, log: Log) -> None:
        if self.switched.exists():
            log("The new version is in place already.\n")
            return
        self.parts.services.stop(self.spec.id)

    def _keep(self, log: Log) -> None:
        """Once per token: a second copy could be one of data that is already migrated."""
        if self.kept.exists():
            log("Kept already.\n")
        else:
            remove_tree(self.copy)
            make_private_directory(self.copy)
            self.databases.copy_live(self.database, self.kept_database)
            if self.paths.settings.exists():
                copy_private(self.paths.settings, self.copy / "settings.py")
            write_private(self.kept, json.dumps({"release": self.parts.release(self.spec.version)}) + "\n")
        self.databases.drop_kept(self.spec.id, except_token=self.copy.name)
        for other in self.paths.previous.iterdir():
            if other != self.copy:
                remove_tree(other)

    def _migrate(self, log: Log) -> None:
        if self.switched.exists():
            log("Migrated already.\n")
            return
        self.databases.copy_closed(self.kept_database, self.draft)
        self.parts.separation.writable(*self.databases.files(self.draft))
        settings = self._migration_settings()
        make_private_directory(settings)
        write_private(settings / "settings.py", self.parts.settings_text(self.spec, self.target, self.draft))
        management = Management(self.parts.engine(self.target), self.parts.separation, self.parts.timeouts.migrate)
        migrate = self.parts.profile(self.target).migrate()
        management.run(self.target, migrate, settings, (self.paths.data,), log)
        remove_tree(settings)

    def _switch(self, log: Log) -> None:
        if self.switched.exists():
            log("Switched already.\n")
            return
        # Interrupted after this line, the plan migrates the copy once more and comes here again.
        self.databases.replace(self.draft, self.database)
        self.parts.make_directories(self.paths)
        self.parts.share_data(self.spec)
        self.parts.admit(self.spec, self.target)
        self.parts.write_settings(self.spec, self.target)
        write_private(self.switched, "")

    def _start(self, version: VersionSpec) -> None:
        self.parts.check_port(self.spec)
        self.parts.services.register(self.parts.service(self.spec, version))
        self.parts.publish(self.spec, version)
        self.parts.services.start(self.spec.id)

    def _stop_again(self, log: Log) -> None:
        self.parts.router.pause(self.spec)
        self.parts.services.stop(self.spec.id)

    def _go_back(self, log: Log) -> None:
        """Put the old version and the old data back, and run it, if it ran before."""
        self.parts.services.remove(self.spec.id)
        if self.kept.exists():
            # The mark first: run again after this line, the plan starts from the copy and not from half of this.
            self.switched.unlink(missing_ok=True)
            self.databases.copy_closed(self.kept_database, self.draft)
            self.databases.replace(self.draft, self.database)
            self.parts.share_data(self.spec)
            self.parts.write_settings(self.spec, self.spec.version)
            settings = self.copy / "settings.py"
            if settings.exists():
                copy_private(settings, self.paths.settings)
            log("The data from before the update is back.\n")
        self.databases.drop(self.draft)
        # The old version takes writes from now on, so this copy must not be used again.
        self.databases.drop_kept(self.spec.id, except_token=None)
        remove_tree(self.copy)
        if self.running:
            self._start(self.spec.version)
            self.parts.wait(self.spec, self.spec.version)
            log(f"{self.spec.version.name} runs again.\n")
        else:
            self.parts.services.register(self.parts.service(self.spec, self.spec.version))

    def _migration_settings(self) -> Path:
        return self.copy / "migrate"
