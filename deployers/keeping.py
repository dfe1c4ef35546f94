"""What an update and a restore have in common: the data from before are kept, and come back if anything fails.

What is on disk decides where a plan that is run again goes on. In ``previous/TOKEN/``:

    kept.json    the copy of database and settings from before is complete
    media        uploaded files from before, where they were replaced
    switched     the new data are in place: from here on they may have been used, and the copy is out of date
    healthy      all is well with them: what is left of the plan cannot fail any more, and nothing is compared again

All belong to one operation (its token). The copy of the last one stays; older ones are removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from deployers.backups.instance import remove_unfinished, write_archive
from deployers.backups.store import Archive
from deployers.errors import InstanceMissing, StoreFailed
from deployers.files import copy_private, make_private_directory, remove_tree, write_private
from deployers.health import check_health, count_rows
from deployers.parts import Parts
from deployers.plan import Log, Plan, Serving, Step
from deployers.preparation import Preparer
from deployers.space import check_space
from deployers.spec import InstanceSpec, VersionSpec

STOP_SECONDS = 120.0


class Keeper:
    """Replaces an instance's data, with a way back. ``spec`` says how it was before, ``target`` which version is next.

    The steps between ``begin`` and ``end`` make the new data in ``draft`` and call ``switch``.
    """

    def __init__(
        self, parts: Parts, preparer: Preparer, spec: InstanceSpec, target: VersionSpec, token: str, running: bool
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
        self.kept_media = self.copy / "media"
        self.switched = self.copy / "switched"
        self.healthy = self.copy / "healthy"
        self.databases = parts.database(spec)
        self.database = self.databases.instance(spec.id)
        self.draft = self.databases.draft(spec.id)
        self.kept_database = self.databases.kept(spec.id, token)

    def begin(self, archive: Archive | None, reads: Archive | None = None) -> Plan:
        """Up to the moment in which the data from before are safe.

        ``archive``: gets a backup of them. ``reads``: an archive for whose data there must be room.
        """
        name = self.target.name
        steps = [
            Step(f"check that {name} is prepared", lambda log: self._check()),
            Step("check that there is room", lambda log: self._check_space(archive, reads, log)),
        ]
        if self.parts.router.has_front:
            steps.append(Step("announce it", self._announce, self._publish_as_before))
        # Of one that does not run nobody misses anything.
        ends = Serving.ENDS if self.running else None
        # The only undo: everything that follows is taken back by putting the copy back.
        steps.append(
            Step("stop the service", self._stop, self._go_back, seconds=STOP_SECONDS, serving=ends),
        )
        if archive is not None:
            steps.append(Step("write a backup", lambda log: self._back_up(archive, log)))
        return (*steps, Step("keep the data", self._keep))

    def end(self, compare: bool) -> Plan:
        """From the switch on. ``compare``: there must be no fewer rows than before.

        Where a web server stands in front, nobody comes in before the health check: what is written into data that
        are taken back would be lost.
        """
        front = self.parts.router.has_front
        steps = [
            Step("start the service", lambda log: self._start(self.target)),
            Step("wait until OpenSlides answers", self._wait),
            Step(
                "check its health",
                lambda log: self._check_health(compare, log),
                serving=None if front else Serving.RETURNS,
            ),
        ]
        if not self.running:
            stop = Step("stop the service again", lambda log: self._stop_service(), seconds=STOP_SECONDS)
            steps.append(stop)
        if front:
            publish = Step(
                "publish the address", lambda log: self._publish(self.target), final=True, serving=Serving.RETURNS
            )
            steps.append(publish)
        return tuple(steps)

    def switch(self, log: Log) -> None:
        """Put the draft in the database's place, with the settings of the target version."""
        # Interrupted after this line, the plan makes the draft once more and comes here again.
        self.databases.replace(self.draft, self.database)
        self.parts.make_directories(self.paths)
        self.parts.share_data(self.spec)
        self.parts.admit(self.spec, self.target)
        self.parts.write_settings(self.spec, self.target)
        write_private(self.switched, "")

    def _check(self) -> None:
        self.preparer.check(self.target)
        if not self.switched.exists() and not self.database.exists():
            raise InstanceMissing(self.spec.id, "database")

    def _check_space(self, archive: Archive | None, reads: Archive | None, log: Log) -> None:
        if self.switched.exists():
            log("All is written already.\n")
            return
        check_space(self.parts, self.spec, archive, reads, log)

    def _announce(self, log: Log) -> None:
        if self.healthy.exists():
            log("It is over already.\n")
            return
        self.parts.router.announce(self.spec)

    def _stop(self, log: Log) -> None:
        if self.switched.exists():
            log("The new data are in place already.\n")
            return
        self._stop_service()

    def _stop_service(self) -> None:
        self.parts.services.stop(self.spec.id)

    def _back_up(self, archive: Archive, log: Log) -> None:
        # Kept data were backed up before. What is in the database's place by now may be the new data already.
        if self.kept.exists():
            if not self.switched.exists() and archive.store.facts(archive.name) is None:
                raise StoreFailed(f"{archive.name}, which was written before, is gone")
            log("Backed up already.\n")
            return
        write_archive(self.parts, self.spec, archive, log)

    def _keep(self, log: Log) -> None:
        """Once per token: a second copy could be one of data that are already replaced."""
        if self.kept.exists():
            log("Kept already.\n")
        else:
            remove_tree(self.copy)
            make_private_directory(self.copy)
            self.databases.copy_live(self.database, self.kept_database)
            if self.paths.settings.exists():
                copy_private(self.paths.settings, self.copy / "settings.py")
            kept = {
                "release": self.parts.release(self.spec.version),
                "rows": count_rows(self.kept_database, self._kept_tables()),
            }
            write_private(self.kept, json.dumps(kept) + "\n")
        self.databases.drop_kept(self.spec.id, except_token=self.copy.name)
        for other in self.paths.previous.iterdir():
            if other != self.copy:
                remove_tree(other)

    def _kept_tables(self) -> Sequence[str]:
        """Those that both versions have."""
        after = self.parts.profile(self.target).kept_tables
        return [table for table in self.parts.profile(self.spec.version).kept_tables if table in after]

    def _start(self, version: VersionSpec) -> None:
        self.parts.check_port(self.spec)
        self.parts.services.register(self.parts.service(self.spec, version))
        self.parts.services.start(self.spec.id)

    def _wait(self, log: Log) -> None:
        if self.healthy.exists():
            log("It has answered already.\n")
            return
        self.parts.wait(self.spec, self.target)

    def _check_health(self, compare: bool, log: Log) -> None:
        """Once: afterwards people are at work, who may also delete something."""
        if self.healthy.exists():
            log("It was well already.\n")
            return
        rows = json.loads(self.kept.read_text(encoding="utf-8")).get("rows", {}) if compare else {}
        check_health(self.parts, self.spec, self.target, rows, log)
        write_private(self.healthy, "")

    def _go_back(self, log: Log) -> None:
        """Put the old version and the old data back, and run it, if it ran before."""
        self.parts.router.announce(self.spec)
        self.parts.services.remove(self.spec.id)
        if self.kept.exists():
            # The marks first: run again after this line, the plan starts from the copy and not from half of this.
            self.healthy.unlink(missing_ok=True)
            self.switched.unlink(missing_ok=True)
            self.databases.copy_closed(self.kept_database, self.draft)
            self.databases.replace(self.draft, self.database)
            if self.kept_media.exists():
                remove_tree(self.paths.media)
                self.kept_media.replace(self.paths.media)
            self.parts.make_directories(self.paths)
            self.parts.share_data(self.spec)
            self.parts.write_settings(self.spec, self.spec.version)
            settings = self.copy / "settings.py"
            if settings.exists():
                copy_private(settings, self.paths.settings)
                self.parts.separation.readable(self.paths.settings)
            log("The data from before are back.\n")
            # The old version takes writes from now on, so this copy must not be used again, and least half of it.
            self.kept.unlink()
        self.databases.drop(self.draft)
        remove_unfinished(self.parts, self.spec)
        self.databases.drop_kept(self.spec.id, except_token=None)
        remove_tree(self.copy)
        if self.running:
            self._start(self.spec.version)
            self._publish_as_before(log)
            self.parts.wait(self.spec, self.spec.version)
            log(f"{self.spec.version.name} runs again.\n")
        else:
            self.parts.services.register(self.parts.service(self.spec, self.spec.version))
            self._publish_as_before(log)

    def _publish_as_before(self, log: Log) -> None:
        self._publish(self.spec.version)

    def _publish(self, version: VersionSpec) -> None:
        self.parts.publish(self.spec, version)
        if not self.running:
            self.parts.router.pause(self.spec)
