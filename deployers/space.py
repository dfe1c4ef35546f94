"""Whether there is room on the disks for what a plan will write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deployers.backups.store import Archive
from deployers.errors import NoRoom
from deployers.parts import Parts
from deployers.plan import Log
from deployers.spec import InstanceSpec

MARGIN_BYTES = 50 << 20
COPIES = 3
"""Of the database: the one that is kept, the draft, and the dump of a backup."""


ARCHIVE_COPIES = 2
"""Of an archive that is read: what is taken out of it, and the draft that is made of its database."""


def check_space(parts: Parts, spec: InstanceSpec, writes: Archive | None, reads: Archive | None, log: Log) -> None:
    """Whether an archive can be written or read, and the database replaced with a way back.

    Where the backup store is on the disk of the instances, that needs room for both.

    Raises NoRoom (the disk of the instances, or the backup store, is too full), StoreFailed.
    """
    paths, databases = parts.layout.instance(spec.id), parts.database(spec)
    database = databases.instance(spec.id)
    size = database.size() if database.exists() else 0
    media = tree_size(paths.media)
    facts = reads.store.facts(reads.name) if reads is not None else None
    needed = COPIES * size + MARGIN_BYTES + (ARCHIVE_COPIES * facts.size if facts is not None else 0)
    places = [(str(parts.layout.data_dir), shutil.disk_usage(paths.directory).free, needed)]
    room = writes.store.room() if writes is not None else None
    if room is not None:
        if room.device == os.stat(paths.directory).st_dev:
            place, free, needed = places.pop()
            places.append((f"{place} and the backup store", min(free, room.free), needed + size + media))
        else:
            places.append(("the backup store", room.free, size + media + MARGIN_BYTES))
    for place, free, needed in places:
        log(f"{place}: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed.\n")
        if free < needed:
            raise NoRoom(place, free, needed)


def tree_size(directory: Path) -> int:
    """Bytes in the regular files below ``directory``; what vanishes meanwhile does not count."""
    total = 0
    for root, _directories, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(Path(root, name)).st_size
            except FileNotFoundError:
                continue
    return total
