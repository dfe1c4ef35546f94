"""OpenSlides in a virtual environment at /opt/openslides, from the lock files of the engine ``virtualenv``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deployers.engines import shim
from images.debian import compile_all
from images.errors import WrongRelease
from images.recipe import BUILD_LOCK, HEALTHCHECK, PYTHON, Recipe
from images.sandbox import AS_NOBODY, NOBODY, in_root, on_machine

HOME = "opt/openslides"
MATERIAL = "material"
"""A directory in the root, while the environment is made: pip, the lock files and the packages."""


class Installer:
    """``scratch``: a directory for the build only. Packages are fetched once for all images."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.home = scratch / "pip"

    def install(self, recipe: Recipe, root: Path) -> None:
        """Make /opt/openslides in ``root``, and nothing else. Raises WrongRelease.

        Fetching needs the network, the machine's proxies and its certificates, so the machine's own pip does it;
        packages that come as sources are built in ``root``, where there is no compiler and no network: each image
        has the same files, whatever the machine has.
        """
        if not self.home.exists():
            self._make_pip()
        material = root / MATERIAL
        shutil.copytree(self._pip_package, material / "pip", symlinks=True)
        for number, lock in enumerate(recipe.locks):
            shutil.copyfile(lock, material / f"{number}.txt")
        packages = material / "packages"
        packages.mkdir()
        os.chown(packages, int(NOBODY), int(NOBODY))
        for number in range(len(recipe.locks)):
            self._fetch(material / f"{number}.txt", packages)
        venv = root / HOME
        venv.mkdir(mode=0o755)
        os.chown(venv, int(NOBODY), int(NOBODY))
        in_root(["python3", "-m", "venv", "--without-pip", f"/{HOME}"], root, nobody=True)
        for number in range(len(recipe.locks)):
            self._install(number, root)
        shim.install(venv / "lib" / f"python{PYTHON}" / "site-packages")
        shutil.copyfile(HEALTHCHECK, venv / "bin" / "healthcheck")
        (venv / "bin" / "healthcheck").chmod(0o755)
        compile_all(root, f"/{HOME}/lib")
        asked = [f"/{HOME}/bin/python", "-c", "import openslides; print(openslides.__version__)"]
        found = in_root(asked, root).strip()
        if found != recipe.release:
            raise WrongRelease(recipe.release, found)
        shutil.rmtree(material)

    @property
    def _pip_package(self) -> Path:
        return self.home / "lib" / f"python{PYTHON}" / "site-packages" / "pip"

    def _make_pip(self) -> None:
        """A pip for the build only. It has what reads the metadata of packages that come as sources."""
        self.home.mkdir()
        os.chown(self.home, int(NOBODY), int(NOBODY))
        on_machine([*AS_NOBODY, "/usr/bin/python3", "-m", "venv", self.home], self.home)
        lock = self.home / "build.txt"
        shutil.copyfile(BUILD_LOCK, lock)
        pip = self.home / "bin" / "pip"
        on_machine([*AS_NOBODY, pip, "install", "-qq", "--require-hashes", "--no-deps", "-r", lock], self.home)

    def _fetch(self, lock: Path, packages: Path) -> None:
        options = ["-qq", "--require-hashes", "--no-deps", "--no-build-isolation", "--no-input"]
        pip = self.home / "bin" / "pip"
        on_machine([*AS_NOBODY, pip, "download", *options, "-d", packages, "-r", lock], self.home)

    def _install(self, number: int, root: Path) -> None:
        in_root(
            [
                f"/{HOME}/bin/python",
                "-m",
                "pip",
                "install",
                "-qq",
                "--no-index",
                "--require-hashes",
                "--no-deps",
                "--no-build-isolation",
                "--no-cache-dir",
                "--no-compile",
                f"--find-links=/{MATERIAL}/packages",
                f"--requirement=/{MATERIAL}/{number}.txt",
            ],
            root,
            env={"PYTHONPATH": f"/{MATERIAL}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            nobody=True,
        )
