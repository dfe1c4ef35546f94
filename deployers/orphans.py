"""What is on a host and belongs to no instance or version: found by the names that this product gives, and no other.

One listing per part of the host, whatever the number of instances.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from deployers.errors import DeployError
from deployers.files import GONE, remove_tree
from deployers.layout import checked_id
from deployers.parts import Parts
from deployers.preparation import Management, Preparer
from deployers.spec import OrphanSpec, VersionSpec

DIRECTORY, DATABASE, ROLE, SERVICE = "directory", "database", "role", "service"
CONTAINER, CACHE_USER, ADDRESS = "container", "cache_user", "address"
KINDS = (ADDRESS, SERVICE, CONTAINER, CACHE_USER, DATABASE, ROLE, DIRECTORY)
"""In the order in which they are removed: first nobody comes any more, then nobody writes any more."""

ID = re.compile(r"[0-9a-f]{32}")
OF_VERSION = re.compile(rf"([A-Za-z0-9][A-Za-z0-9.-]*)|\.([A-Za-z0-9][A-Za-z0-9.-]*){re.escape(GONE)}")
"""``VersionSpec.directory_name``, and what an interrupted removal left of one."""
REMOVED = re.compile(rf"\.([0-9a-f]{{32}}){re.escape(GONE)}")


class Orphans:
    """Finds and removes them."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def find(self, known: Collection[str], versions: Collection[VersionSpec] | None = None) -> list[OrphanSpec]:
        """``known``: ids of the instances that there are. ``versions``: all that there are, or None: not to look.

        Raises DeployError, OSError.
        """
        parts = self.parts
        found = [
            *self._directories(),
            *(OrphanSpec(SERVICE, number, number) for number in parts.services.registered() if ID.fullmatch(number)),
            *(OrphanSpec(CACHE_USER, number, number) for number in parts.cache.admitted()),
            *(OrphanSpec(ADDRESS, str(path), number) for path, number in parts.router.published()),
        ]
        for databases in parts.databases.values():
            found += databases.found()
        for engine in parts.engines.values():
            found += (OrphanSpec(CONTAINER, number, number) for number in engine.containers())
        own = set(known)
        found = [orphan for orphan in found if orphan.instance_id not in own]
        if versions is not None:
            found += self._versions(versions)
        return sorted(found, key=lambda each: (each.kind, each.name))

    def remove(self, orphan: OrphanSpec) -> None:
        """Also when it is gone already. Raises DeployError, OSError."""
        if orphan.kind == DIRECTORY and not orphan.instance_id:
            self._discard(Path(orphan.name).name)
            return
        number = checked_id(orphan.instance_id)
        if orphan.kind not in KINDS:
            raise DeployError(f"Nobody knows how to remove a {orphan.kind}.")
        if orphan.kind != ADDRESS:
            # What still runs would make again what is taken away from it.
            self.parts.services.remove(number)
        match orphan.kind:
            case "directory":
                remove_tree(self.parts.layout.instance(number).directory)
            case "container":
                for engine in self.parts.engines.values():
                    engine.remove_container(number)
            case "cache_user":
                self.parts.cache.dismiss(number)
            case "address":
                self.parts.router.unpublish(Path(orphan.name), number)
            case "database" | "role":
                for databases in self.parts.databases.values():
                    databases.forget(number)

    def _versions(self, versions: Collection[VersionSpec]) -> Iterable[OrphanSpec]:
        """Where a version was prepared that is there no more: nobody took it away, or was interrupted at that."""
        root = self.parts.layout.data_dir / "versions"
        if not root.is_dir():
            return
        own = {replace(version, coming=coming).directory_name for version in versions for coming in (False, True)}
        names = set()
        for path in root.iterdir():
            match = OF_VERSION.fullmatch(path.name)
            if match is not None:
                names.add(match[1] or match[2])
        for name in names - own:
            yield OrphanSpec(DIRECTORY, str(root / name))

    def _discard(self, name: str) -> None:
        """With its template databases and its image, as when the version was deleted."""
        if OF_VERSION.fullmatch(name) is None or name.startswith("."):
            raise DeployError(f"{name!r} is not the directory of a version.")
        parts = self.parts
        for key, engine in parts.engines.items():
            # The name of the directory is all that is needed of a version here, and is its own image's.
            version = VersionSpec(name, name, key)
            management = Management(engine, parts.separation, parts.timeouts.prepare)
            Preparer(parts.layout, engine, parts.databases, management).discard(version)

    def _directories(self) -> Iterable[OrphanSpec]:
        """Also what an interrupted removal left, under the name of the directory that it was."""
        root = self.parts.layout.data_dir / "instances"
        if not root.is_dir():
            return
        numbers = set()
        for path in root.iterdir():
            match = ID.fullmatch(path.name) or REMOVED.fullmatch(path.name)
            if match is not None:
                numbers.add(match[match.re.groups])
        for number in numbers:
            yield OrphanSpec(DIRECTORY, str(root / number), number)
