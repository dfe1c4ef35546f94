"""What is in an image, and what is not."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.images.conftest import IMAGES, RELEASES, Archive

UNCHECKED_HASH = (1).to_bytes(4, "little")


def files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for directory, names, others in os.walk(root):
        for name in (*names, *others):
            path = Path(directory, name)
            yield path, path.lstat()


def in_image(root: Path, *argv: str) -> str:
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all"]
    path = "PATH=/opt/openslides/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["chroot", root, *user, "env", "-i", path, *argv], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_has_the_name_that_people_pull_it_by(archive: Archive) -> None:
    names = archive.index["manifests"][0]["annotations"]
    assert names["org.opencontainers.image.ref.name"] == f"localhost/openslides:{archive.release}"


def test_it_runs_as_a_user_without_rights_and_says_its_version(archive: Archive) -> None:
    config = archive.config
    assert (config["User"], config["WorkingDir"]) == ("1000:1000", "/")
    assert config["Labels"]["org.opencontainers.image.version"] == archive.release
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert environment["PATH"].split(":")[0] == "/opt/openslides/bin"
    assert environment["LANG"] == "C.UTF-8"
    assert environment["PYTHONUNBUFFERED"] == environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_both_images_share_the_base(image_directory: Path) -> None:
    first, second = (Archive(IMAGES / f"openslides-{release}.tar", release) for release in RELEASES)
    assert first.layers()[0] == second.layers()[0]
    assert first.layers()[1:] != second.layers()[1:]


def test_openslides_and_its_libraries_can_be_imported(archive: Archive, unpacked: Path) -> None:
    code = "import sys, django, channels, psycopg2, redis, openslides; print(sys.prefix, openslides.__version__)"
    assert in_image(unpacked, "python3", "-c", code) == f"/opt/openslides {archive.release}"


def test_no_file_gives_more_rights(unpacked: Path) -> None:
    found = [path for path, status in files(unpacked) if stat.S_ISREG(status.st_mode) and status.st_mode & 0o6000]
    assert found == []


def test_nothing_belongs_to_the_user_or_is_writable_for_it(unpacked: Path) -> None:
    places = {unpacked / "tmp", unpacked / "var" / "tmp", unpacked / "run" / "lock"}
    loose = [
        path
        for path, status in files(unpacked)
        if path not in places
        and not stat.S_ISLNK(status.st_mode)
        and (status.st_uid or status.st_gid == 1000 or status.st_mode & 0o002)
    ]
    assert loose == []


def test_every_module_is_compiled_for_a_read_only_file_system(unpacked: Path) -> None:
    places = ("usr/lib/python3.11", "usr/lib/python3", "opt/openslides/lib")
    modules = [path for place in places for path, _ in files(unpacked / place) if path.suffix == ".py"]
    stale = []
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-311.pyc"
        if not compiled.exists() or compiled.read_bytes()[4:8] != UNCHECKED_HASH:
            stale.append(module)
    assert modules
    assert stale == []


def test_nothing_of_the_build_and_of_the_machine_is_left(unpacked: Path) -> None:
    left = ("material", "etc/resolv.conf", "etc/hostname", "etc/apt/sources.list", "usr/share/man/man1", "dev/null")
    assert [name for name in left if (unpacked / name).exists()] == []
    assert not list((unpacked / "opt/openslides/lib/python3.11/site-packages").glob("pip*"))
    assert not list((unpacked / "var/lib/apt/lists").iterdir())
    assert not list((unpacked / "var/cache").iterdir())
    assert (unpacked / "etc/machine-id").read_bytes() == b""
