"""OpenSlides in a virtual environment at /opt/openslides, from the lock files of the engine ``virtualenv``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deployers.engines import shim
from images.debian import compile_all
from images.errors import WrongRelease
from images.recipe import BUILD_LOCK, HEALTHCHECK, PYTHON, Recipe
from images.sandbox import NOBODY, WORKSHOP, as_nobody, in_root

HOME = "opt/openslides"
PIP_PACKAGE = f"pip/lib/python{PYTHON}/site-packages/pip"
MATERIAL = "material"
"""A directory in the root, while the environment is made: pip, the lock files and the packages."""


class Installer:
    """``scratch``: a directory for the build only. A package is fetched once for all images."""

    def __init__(self, scratch: Path) -> None:
        self.workshop = scratch / "workshop"

    def install(self, recipe: Recipe, root: Path) -> None:
        """Make /opt/openslides in ``root``, and nothing else. Raises WrongRelease.

        Fetching needs the network, the machine's proxies and its certificates, so the machine's own pip does it;
        packages that come as sources are built in ``root``, where there is no compiler and no network: each image
        has the same files, whatever the machine has.
        """
        if not self.workshop.exists():
            self._make_pip()
        for lock in recipe.locks:
            self._fetch(lock)
        material = root / MATERIAL
        shutil.copytree(self.workshop / PIP_PACKAGE, material / "pip", symlinks=True)
        shutil.copytree(self.workshop / "packages", material / "packages")
        venv = root / HOME
        venv.mkdir(mode=0o755)
        os.chown(venv, int(NOBODY), int(NOBODY))
        in_root(["python3", "-m", "venv", "--without-pip", f"/{HOME}"], root, nobody=True)
        for lock in recipe.locks:
            shutil.copyfile(lock, material / lock.name)
            self._install(lock.name, root)
        shim.install(venv / "lib" / f"python{PYTHON}" / "site-packages")
        shutil.copyfile(HEALTHCHECK, venv / "bin" / "healthcheck")
        (venv / "bin" / "healthcheck").chmod(0o755)
        compile_all(root, f"/{HOME}/lib")
        asked = [f"/{HOME}/bin/python", "-c", "import openslides; print(openslides.__version__)"]
        found = in_root(asked, root).strip()
        if found != recipe.release:
            raise WrongRelease(recipe.release, found)
        shutil.rmtree(material)

    def _make_pip(self) -> None:
        """A pip for the build only. It has what reads the metadata of packages that come as sources."""
        self.workshop.mkdir()
        os.chown(self.workshop, int(NOBODY), int(NOBODY))
        as_nobody(["/usr/bin/python3", "-m", "venv", WORKSHOP / "pip"], self.workshop)
        self._pip(["install", "--no-deps"], BUILD_LOCK)

    def _fetch(self, lock: Path) -> None:
        self._pip(["download", "--no-deps", "--no-build-isolation", f"--dest={WORKSHOP / 'packages'}"], lock)

    def _pip(self, command: Sequence[str], lock: Path) -> None:
        shutil.copyfile(lock, self.workshop / lock.name)
        options = ["-qq", "--disable-pip-version-check", "--no-input", "--require-hashes"]
        pip = WORKSHOP / "pip" / "bin" / "pip"
        as_nobody([pip, *command, *options, f"--requirement={WORKSHOP / lock.name}"], self.workshop)

    def _install(self, lock: str, root: Path) -> None:
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
                f"--requirement=/{MATERIAL}/{lock}",
            ],
            root,
            env={"PYTHONPATH": f"/{MATERIAL}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            nobody=True,
        )
