"""The plan that puts a backup's data in the place of an instance's, and back if that fails."""

from __future__ import annotations

from deployers.backups import archive as tar
from deployers.backups.instance import place_media, read_archive, refuse_unfit
from deployers.backups.store import Archive
from deployers.keeping import Keeper
from deployers.plan import Log, Plan, Step


class Restorer(Keeper):
    """Makes the plan that puts a backup's data in the place of an instance's."""

    def plan(self, archive: Archive) -> Plan:
        """Raises UnknownImage, UnsupportedRelease."""
        self.parts.profile(self.target), self.parts.profile(self.spec.version)
        return (
            Step("check the backup", lambda log: self._check_archive(archive, log)),
            *self.begin(None, reads=archive),
            Step("read the backup, and put its data in place", lambda log: self._restore(archive, log)),
            *self.end(compare=False),
        )

    def _check_archive(self, archive: Archive, log: Log) -> None:
        """All of it, before anything is stopped: a damaged backup must cost nobody the instance."""
        if self.switched.exists():
            log("It is restored already.\n")
            return
        manifest = refuse_unfit(self.parts, self.target, self.spec.db, archive)
        tar.extract(archive, None, None)
        log(f"Made on {manifest.created_at}, with OpenSlides {manifest.release}; it is whole.\n")

    def _restore(self, archive: Archive, log: Log) -> None:
        if self.switched.exists():
            log("Restored already.\n")
            return
        media = read_archive(self.parts, self.spec, self.target, archive, self.draft, log)
        # Interrupted after the first rename, the plan comes here again, and the files from before are kept already.
        if not self.kept_media.exists() and self.paths.media.exists():
            self.paths.media.replace(self.kept_media)
        place_media(media, self.paths.media)
        self.switch(log)
