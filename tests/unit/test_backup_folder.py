"""The folder of the backups: where its disk is not mounted, nothing is written, missed or deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from deployers.backups.folder import MARK, FolderStore
from deployers.backups.store import BackupStore
from deployers.errors import StoreFailed
from instances.archives import MEMORY, store

NAME = "a/1.tar"


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    """BACKUP_DIR is a mounted disk."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.BACKUP_DIR_IS_GIVEN = True
    settings.BACKUP_DIR = tmp_path / "mnt"
    settings.BACKUP_DIR.mkdir()
    return settings.BACKUP_DIR


def write(store: BackupStore) -> None:
    with store.write(NAME) as stream:
        stream.write(b"content")


def read(store: BackupStore) -> None:
    with store.read(NAME) as stream:
        assert stream.read() == b"content"


ASKS: list[Callable[[BackupStore], object]] = [
    write,
    read,
    lambda store: store.facts(NAME),
    lambda store: store.delete(NAME),
    lambda store: store.names(),
    lambda store: store.room(),
]


def unmount(folder: Path) -> None:
    folder.rename(folder.with_name("the disk"))


def test_the_one_below_the_data_directory_is_made(settings: Settings, tmp_path: Path) -> None:
    settings.BACKUP_DIR = tmp_path / "data" / "backups"
    assert store().names() == []
    write(store())
    assert store().names() == [NAME]
    assert not (settings.BACKUP_DIR / MARK).exists()


@pytest.mark.parametrize("ask", ASKS)
def test_one_that_is_given_and_is_not_there_is_refused(ask: Callable[[BackupStore], object], folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(StoreFailed, match="is not there; mount its disk"):
        ask(store())
    assert not folder.exists()


@pytest.mark.parametrize("ask", ASKS)
def test_an_empty_mount_point_in_the_place_of_one_that_was_used_is_refused(
    ask: Callable[[BackupStore], object], folder: Path
) -> None:
    write(store())
    unmount(folder)
    folder.mkdir()
    with pytest.raises(StoreFailed, match=r"Is its disk mounted\?"):
        ask(store())
    assert not list(folder.iterdir())


def test_with_its_disk_it_goes_on(folder: Path) -> None:
    write(store())
    unmount(folder)
    folder.with_name("the disk").rename(folder)
    read(store())
    assert store().names() == [NAME]
    store().delete(NAME)
    write(store())


def test_another_disk_is_taken_when_somebody_says_so(folder: Path) -> None:
    write(store())
    unmount(folder)
    folder.mkdir()
    (folder / MARK).touch()
    assert store().names() == []
    write(store())


def test_another_folder_begins_anew_and_one_that_others_use_is_taken(folder: Path, settings: Settings) -> None:
    write(store())
    other = folder.with_name("other")
    other.mkdir()
    write(FolderStore(other, folder.with_name("memory of another host")))
    settings.BACKUP_DIR = other
    write(store())
    assert (settings.DATA_DIR / MEMORY).read_text().strip() == str(other)
