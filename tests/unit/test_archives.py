"""The format of an archive: what is damaged is never taken for whole, and nothing of it fills the memory."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from deployers.backups import archive as tar
from deployers.backups.archive import Manifest
from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
from deployers.errors import ArchiveDamaged, ArchiveMissing, SourceChanged, StoreFailed, TooManyFiles

MANIFEST = Manifest(1, "a" * 32, "assembly", "example.org", "3.3", "3.3", "pypi:openslides==3.3", "sqlite", "", "Event")
NAME = "a/first.tar"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A small one, complete."""
    (tmp_path / "database").write_bytes(os.urandom(5000))
    media = tmp_path / "uploads"
    (media / "deep" / "er").mkdir(parents=True)
    (media / "ä b.pdf").write_bytes(b"motion")
    (media / "deep" / "er" / "empty").touch()
    (media / "link").symlink_to("/etc/passwd")
    os.mkfifo(media / "pipe")
    made = Archive(FolderStore(tmp_path / "store"), NAME)
    with tar.writing(made) as writer:
        writer.manifest(MANIFEST)
        writer.file("database", tmp_path / "database")
        writer.tree("media", media)
    return made


def path_of(archive: Archive) -> Path:
    assert isinstance(archive.store, FolderStore)
    return archive.store.folder / archive.name


def write_facts(path: Path) -> None:
    """As if the archive had been made like that: only what is in it can tell."""
    facts = {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_name(path.name + ".json").write_text(json.dumps(facts))


def read(archive: Archive, tmp_path: Path) -> Manifest:
    staging, media = tmp_path / "staging", tmp_path / "media"
    for directory in (staging, media):
        directory.mkdir(exist_ok=True)
    return tar.extract(archive, staging, media)


def test_what_was_written_is_read(archive: Archive, tmp_path: Path) -> None:
    assert tar.read_manifest(archive) == MANIFEST
    assert read(archive, tmp_path) == MANIFEST
    assert (tmp_path / "staging" / "database").read_bytes() == (tmp_path / "database").read_bytes()
    found = sorted(str(path.relative_to(tmp_path / "media")) for path in (tmp_path / "media").rglob("*"))
    assert found == ["deep", "deep/er", "deep/er/empty", "ä b.pdf"]
    facts = archive.store.facts(NAME)
    assert facts is not None
    assert facts.size == path_of(archive).stat().st_size
    assert path_of(archive).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("with_facts", [True, False])
def test_a_byte_that_was_changed_anywhere_is_found(archive: Archive, tmp_path: Path, with_facts: bool) -> None:
    path = path_of(archive)
    good = path.read_bytes()
    unnoticed = []
    for position in range(0, len(good), 97):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x41]) + good[position + 1 :])
        if not with_facts:
            write_facts(path)
        try:
            tar.extract(archive, None, None)
        except ArchiveDamaged:
            continue
        unnoticed.append(position)
    if with_facts:
        assert not unnoticed
    else:
        # The padding between members, and times, are not covered by the checksums of the members.
        with tarfile.open(path) as whole:
            contents = [range(m.offset_data, m.offset_data + m.size) for m in whole]
        path.write_bytes(good)
        assert not [position for position in unnoticed if any(position in content for content in contents)]


def test_an_archive_that_was_cut_off_is_found(archive: Archive) -> None:
    path = path_of(archive)
    good = path.read_bytes()
    with tarfile.open(path) as whole:
        end = max(member.offset_data + member.size for member in whole)
    for length in [*range(0, end, 256), end - 1]:
        path.write_bytes(good[:length])
        write_facts(path)
        with pytest.raises(ArchiveDamaged):
            tar.extract(archive, None, None)


@pytest.mark.parametrize(
    "name", ["media/../../outside", "/etc/passwd", "media", "other", "media//x", "media/./x", "database/x"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    store = FolderStore(tmp_path / "store")
    with tar.writing(Archive(store, NAME)) as writer:
        writer.manifest(MANIFEST)
        writer.text(name, "x")
    with pytest.raises(ArchiveDamaged, match="does not belong"):
        read(Archive(store, NAME), tmp_path)
    assert not (tmp_path.parent / "outside").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    archive = Archive(FolderStore(tmp_path / "store"), NAME)
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as whole:
        text = json.dumps(tar.asdict(MANIFEST)).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(text)
        whole.addfile(member, BytesIO(text))
        link = tarfile.TarInfo("media/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        whole.addfile(link)
    with archive.store.write(NAME) as stream:
        stream.write(content.getvalue())
    with pytest.raises(ArchiveDamaged, match="no regular file"):
        read(archive, tmp_path)


def test_nothing_is_read_through_a_link_in_the_place_of_a_directory(tmp_path: Path) -> None:
    """Also while they are read: the directory that was listed first has become a link when its turn comes."""
    secrets, media = tmp_path / "secrets", tmp_path / "uploads"
    (media / "a").mkdir(parents=True)
    secrets.mkdir()
    (secrets / "key").write_text("secret")
    (media / "a" / "file").touch()
    (media / "b").symlink_to(secrets)
    (tmp_path / "link").symlink_to(secrets)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(media / "socket"))
        entries = tar._entries("media", media)
        assert next(entries)[0] == "media/a/file"
        (media / "b").unlink()
        (media / "b").mkdir()
        (media / "a" / "file").unlink()
        (media / "a").rmdir()
        assert [inside for inside, _name, _opened in entries] == ["media/b", "media/socket"]
        with tar.writing(Archive(FolderStore(tmp_path / "store"), NAME)) as writer:
            assert not writer.file("x", media / "socket")
            assert not writer.file("x", tmp_path / "link")
            assert writer.tree("media", tmp_path / "link") == 0
            assert writer.tree("media", tmp_path / "nothing") == 0
            assert writer.tree("media", media) == 0
            writer.manifest(MANIFEST)


def test_an_archive_that_nobody_could_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "CHECKSUM_BYTES", 50)
    store = FolderStore(tmp_path / "store")
    with pytest.raises(TooManyFiles, match="1 files"), tar.writing(Archive(store, NAME)) as writer:
        writer.manifest(MANIFEST)
    assert store.names() == []


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(FileExistsError), tar.writing(Archive(store, NAME)):
        (tmp_path / "store").mkdir()
    assert store.names() == []
    assert store.facts(NAME) is None
    with pytest.raises(ArchiveMissing):
        tar.read_manifest(Archive(store, NAME))


def test_what_a_killed_writer_left_is_seen_and_goes(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    script = (
        "import os, sys; from pathlib import Path; from deployers.backups.folder import FolderStore\n"
        f"with FolderStore(Path(sys.argv[1])).write({NAME!r}) as stream: stream.write(b'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, store.folder], check=False)
    assert store.names() == [NAME]
    assert store.facts(NAME) is None
    with store.write(NAME) as stream:
        stream.write(b"whole")
    assert store.facts(NAME) is not None
    store.delete(NAME)
    store.delete(NAME)
    assert store.names() == []
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../b", ".hidden", "a//b", "a\nb"])
def test_a_store_takes_no_name_that_leads_out_of_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreFailed, match="no name"):
        FolderStore(tmp_path).delete(name)


def test_a_file_that_becomes_shorter_is_an_error_that_says_so(tmp_path: Path) -> None:
    archive = Archive(FolderStore(tmp_path / "store"), NAME)
    with pytest.raises(SourceChanged, match="Ask for the backup again"), tar.writing(archive) as writer:
        writer._add("database", BytesIO(b"short"), 10, 0.0)


def test_a_large_file_never_fills_the_memory(tmp_path: Path) -> None:
    """300 MB in a process that may have 200 MB of address space more than it has after its imports."""
    with (tmp_path / "large").open("wb") as large:
        large.truncate(300 << 20)
    script = """
import resource, sys
from pathlib import Path
from deployers.backups import archive as tar
from deployers.backups.archive import Manifest
from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)
root = Path(sys.argv[1])
archive = Archive(FolderStore(root / "store"), "large.tar")
with tar.writing(archive) as writer:
    writer.manifest(Manifest(1, "", "", "", "", "", "", "sqlite", "", ""))
    writer.file("database", root / "large")
(root / "out").mkdir()
tar.extract(archive, root / "out", root / "out")
print((root / "out" / "database").stat().st_size)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == 300 << 20
