"""The images as ``make image`` makes them. The first build takes some minutes; its result is kept."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.tools import require

IMAGES = PROJECT / "var" / "test-cache" / "images"
RELEASES = ("3.3", "2.3")
ALL = " ".join(RELEASES)


def make_image_argv(directory: Path, releases: str, **variables: str) -> list[str]:
    given = {"IMAGE_DIR": str(directory), "RELEASES": releases, **variables}
    return ["make", "-s", "image", *(f"{name}={value}" for name, value in given.items())]


def make_image(directory: Path, releases: str = ALL, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = make_image_argv(directory, releases, **variables)
    return subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=1800)


@dataclass(frozen=True)
class Archive:
    """An OCI archive (image-spec: image-layout.md), read without any container engine."""

    path: Path
    release: str

    def blob(self, digest: str) -> bytes:
        with tarfile.open(self.path) as outer:
            member = outer.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert member is not None
            return member.read()

    @property
    def index(self) -> Any:
        with tarfile.open(self.path) as outer:
            member = outer.extractfile("index.json")
            assert member is not None
            return json.load(member)

    @property
    def manifest(self) -> Any:
        return json.loads(self.blob(self.index["manifests"][0]["digest"]))

    @property
    def config(self) -> Any:
        return json.loads(self.blob(self.manifest["config"]["digest"]))["config"]

    def layers(self) -> list[str]:
        return [layer["digest"] for layer in self.manifest["layers"]]

    def unpack(self, root: Path) -> None:
        """As an engine does it; no layer takes away a file of another one."""
        root.mkdir()
        for digest in self.layers():
            layer = root.with_name("layer.tar.gz")
            layer.write_bytes(self.blob(digest))
            subprocess.run(["tar", "--numeric-owner", "-xpzf", layer, "-C", root], check=True)
            layer.unlink()


@pytest.fixture(scope="session")
def image_directory() -> Path:
    if os.geteuid() != 0:
        pytest.skip("images are built by root")
    for program in ("debootstrap", "buildah"):
        require(program, program)
    done = make_image(IMAGES)
    assert done.returncode == 0, done.stderr
    return IMAGES


@pytest.fixture(scope="session", params=RELEASES)
def archive(request: pytest.FixtureRequest, image_directory: Path) -> Archive:
    return Archive(image_directory / f"openslides-{request.param}.tar", request.param)


@pytest.fixture(scope="session")
def unpacked(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("image") / "root"
    archive.unpack(root)
    yield root
    subprocess.run(["rm", "-rf", root], check=True)
