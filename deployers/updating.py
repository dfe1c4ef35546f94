"""The plan that moves an instance to another version of OpenSlides, and back if that fails."""

from __future__ import annotations

from deployers.backups.store import Archive
from deployers.files import make_private_directory, remove_tree, write_private
from deployers.keeping import Keeper
from deployers.plan import Log, Plan, Step
from deployers.preparation import Management

SLACK_SECONDS = 60.0
"""The migration's own time-out says more than the step's, so it comes first."""


class Updater(Keeper):
    """Makes the plan for one update of one instance."""

    def plan(self, archive: Archive) -> Plan:
        """Raises UnknownImage, UnsupportedRelease."""
        self.parts.profile(self.target), self.parts.profile(self.spec.version)
        name = self.target.name
        return (
            *self.begin(archive),
            Step(
                f"migrate a copy of the data to {name}",
                self._migrate,
                seconds=self.parts.timeouts.migrate + SLACK_SECONDS,
            ),
            Step(f"switch to {name}", self._switch),
            *self.end(compare=True),
        )

    def _migrate(self, log: Log) -> None:
        if self.switched.exists():
            log("Migrated already.\n")
            return
        self.databases.copy_closed(self.kept_database, self.draft)
        self.parts.separation.writable(*self.databases.files(self.draft))
        settings = self.copy / "migrate"
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
        self.switch(log)
