"""A production host, set up by ``make host`` as an operator does it, shared by all tests of this folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.tools import require

CACHE = PROJECT / "var" / "test-cache"
DOMAIN = "openslides.example.test"
PASSWORD = "a-password-of-the-operator"
BACKUPS = "/var/backups/openslides"
RELEASES = ("2.3", "3.2", "3.3")
NEEDED = {
    "podman": "podman", "nginx": "nginx-light", "redis-server": "redis-server", "initdb": "postgresql",
    "debootstrap": "debootstrap", "buildah": "buildah", "setfacl": "acl", "rsync": "rsync", "ip": "iproute2",
    "systemd-socket-activate": "systemd", "setpriv": "util-linux",
}  # fmt: skip


def _wheels() -> Path:
    """What production needs from PyPI, in a directory: the machine has no network."""
    lock = PROJECT / "requirements" / "production.txt"
    directory = CACHE / "wheels" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--require-hashes"),
                *("--only-binary=:all:", "-r", str(lock), "-d", str(directory)),
            ],
            check=True,
        )
        (directory / "complete").touch()
    return directory


def _images(releases: Sequence[str]) -> Path:
    """The images of OpenSlides, as ``make image`` makes them; kept while their inputs stay the same."""
    directory = CACHE / "images"
    arguments = [f"IMAGE_DIR={directory}", f"RELEASES={' '.join(releases)}"]
    subprocess.run(["make", "-s", "image", *arguments], cwd=PROJECT, check=True)
    return directory


def run_make_host(machine: Machine, wheels: Path) -> str:
    return machine.do(
        "make", "-C", PROJECT, "host",
        env={
            "DOMAIN": DOMAIN, "ADMIN_PASSWORD": PASSWORD, "HOST_NAME": "one",
            # A busy machine is no failure; and no backup is verified but by a test that asks for it.
            "INSTANCE_START_SECONDS": "240",
            "MORE_SETTINGS": f"{{BACKUP_DIR: {BACKUPS}, BACKUP_VERIFY_HOURS: 0}}",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
        },
        timeout=1800,
    )  # fmt: skip


@contextmanager
def booted(name: str, releases: Sequence[str]) -> Iterator[Machine]:
    """A machine that is booted and set up, with the images of these releases; gone afterwards."""
    subprocess.run(["make", "-s", ".venv/.host"], cwd=PROJECT, check=True)
    images, wheels = _images(releases), _wheels()
    own = f"mi-{name}-{os.getpid()}"
    made = Machine(own, Path("/var/tmp/booted-hosts") / own, [f"{PROJECT}:{PROJECT}"])
    try:
        made.up()
        made.do("mkdir", "-p", "/srv/openslides/images")
        for release in releases:
            archive = f"openslides-{release}.tar"
            shutil.copy(images / archive, made.directory / "srv" / "images" / archive)
        run_make_host(made, wheels)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def wheels() -> Path:
    return _wheels()


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Booted and set up, its images there."""
    if os.geteuid() != 0:
        pytest.skip("booting a machine needs root")
    for program, package in NEEDED.items():
        require(program, package)
    if running := os.environ.get("BOOTED_HOST"):
        # For work on these tests: a machine that is up, and set up, already.
        yield Machine(running, Path("/var/tmp/booted-hosts") / running, [f"{PROJECT}:{PROJECT}"])
        return
    with booted("test", RELEASES) as made:
        yield made


@pytest.fixture(scope="session")
def operator(machine: Machine) -> Operator:
    """Somebody with an account, at the control plane of the machine."""
    return Operator(Visitor(machine, DOMAIN), "admin", PASSWORD)
