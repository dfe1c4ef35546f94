"""``make image``: what is up to date is left alone, and a build that fails leaves everything as it was."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests.conftest import PROJECT
from tests.images.conftest import make_image, make_image_argv


def archives(directory: Path) -> dict[Path, int]:
    """When each file was changed; without what a build of other tests has there, since they share the directory."""
    found = (path for path in directory.iterdir() if not path.name.startswith(".build-"))
    return {path: path.stat().st_mtime_ns for path in found}


def test_the_same_inputs_are_not_built_again(image_directory: Path) -> None:
    before = archives(image_directory)
    done = make_image(image_directory)
    assert done.returncode == 0
    assert done.stderr.count("is up to date") == 2
    assert archives(image_directory) == before


def test_a_failed_build_keeps_the_archive_that_is_there(image_directory: Path, tmp_path: Path) -> None:
    old = tmp_path / "openslides-3.3.tar"
    old.write_text("the archive of yesterday")
    done = make_image(tmp_path, "3.3", DEBIAN_MIRROR="http://127.0.0.1:1/debian")
    assert done.returncode != 0
    assert "debootstrap ended with exit code 1" in done.stderr
    assert "http://127.0.0.1:1/debian" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_text() == "the archive of yesterday"


def test_two_builds_at_once_wait_for_each_other(image_directory: Path, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        argv = make_image_argv(tmp_path, "3.3", DEBIAN_MIRROR="http://127.0.0.1:1/debian")
        with subprocess.Popen(argv, cwd=PROJECT, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == f"Another build is running in {tmp_path}: waiting for it …\n"
            assert list(tmp_path.iterdir()) == []
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            assert "Making the base" in second.stderr.read()
    finally:
        os.close(descriptor)


def test_what_a_killed_build_left_behind_is_removed(image_directory: Path, tmp_path: Path) -> None:
    (tmp_path / ".build-killed" / "root" / "etc").mkdir(parents=True)
    make_image(tmp_path, "3.3", DEBIAN_MIRROR="http://127.0.0.1:1/debian")
    assert list(tmp_path.iterdir()) == []


def test_a_release_without_a_lock_file_is_refused_by_name(image_directory: Path, tmp_path: Path) -> None:
    done = make_image(tmp_path / "images", "3.9")
    assert "There is no lock file" in done.stderr
    assert "3.3" in done.stderr
    assert not (tmp_path / "images").exists()
