"""Whether there is room: what is written to one disk is counted together."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive, Room
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.errors import NoRoom
from deployers.layout import EmbeddedLayout
from deployers.space import check_space
from tests.factories import make_instance

pytestmark = pytest.mark.django_db


@dataclass(frozen=True, slots=True)
class OfAnotherDisk(FolderStore):
    """As large as this one."""

    def room(self) -> Room | None:
        here = FolderStore.room(self)
        assert here is not None
        return Room(here.free, here.device + 1)


def make_file(path: Path, size: int) -> None:
    """A sparse one."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        stream.truncate(size)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: a unix socket's path has 107 bytes at most (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="mi-") as short:
        yield Path(short)


def test_what_lies_on_one_disk_is_added_up(tmp_path: Path) -> None:
    """Three copies of the database are six tenths of what is free, and the backup is four tenths of it and more."""
    spec = make_instance().spec()
    parts = embedded_deployer(EmbeddedSettings(data_dir=tmp_path)).parts  # type: ignore[attr-defined]
    paths = EmbeddedLayout(tmp_path).instance(spec.id)
    free = shutil.disk_usage(tmp_path).free
    make_file(paths.database, free // 5)
    make_file(paths.media / "large", free // 4)
    there = Archive(OfAnotherDisk(tmp_path / "there"), "a/1.tar")
    check_space(parts, spec, there, None, lambda text: None)
    here = Archive(FolderStore(tmp_path / "backups"), "a/1.tar")
    with pytest.raises(NoRoom, match="and the backup store"):
        check_space(parts, spec, here, None, lambda text: None)
