"""Engine ``virtualenv``: OpenSlides from PyPI, in one virtual environment per version.

Images are ``pypi:openslides==RELEASE``, for every release with a lock file in deployers/openslides/locks/. The
declared ranges of those releases do not fit Python 3.11, so pip gets a lock file and does not resolve. The packages
that come as sources (openslides 3, PyPDF2, roman, websockets 8.1, mypy_extensions, jsonfield) need no compiler:
websockets' C extension is optional, all else is Python.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from deployers.commands import run
from deployers.engines import shim
from deployers.engines.engine import Command, Process
from deployers.errors import (
    CommandFailed,
    CommandMissing,
    PreparationBroken,
    PythonUnsuitable,
    UnknownImage,
    VenvUnusable,
)
from deployers.layout import Layout
from deployers.plan import Action, Log
from deployers.spec import VersionSpec

LOCKS = Path(__file__).resolve().parent.parent / "openslides" / "locks"
PYTHON = "3.11"
IMAGE = re.compile(r"pypi:openslides==([0-9]+(?:\.[0-9]+)+)")

PIP_VARIABLES = re.compile(
    r"HOME|TMPDIR|XDG_\w+|PIP_\w+|(https?|no|all|ftp)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE",
    re.IGNORECASE,
)
"""What pip may see of the control plane's environment: never its settings or secrets."""

LOOK_SECONDS = 60.0


def base_interpreter() -> Path:
    """The Python that this one's own virtual environment was made with."""
    return Path(getattr(sys, "_base_executable", sys.executable))


class Virtualenv:
    """See the module. ``timeout``: seconds for each of pip's runs."""

    names_move = False

    def __init__(self, layout: Layout, python: Path, timeout: float) -> None:
        self.layout = layout
        self.python = python
        self.timeout = timeout

    def release(self, version: VersionSpec) -> str:
        match = IMAGE.fullmatch(version.image)
        if match is None or not _lock(match[1]).is_file():
            raise UnknownImage(version.image, known_images())
        return match[1]

    def install(self, version: VersionSpec) -> Sequence[tuple[str, Action]]:
        release = self.release(version)
        return (
            ("make the virtual environment", lambda log: self._make(version, log)),
            (f"install OpenSlides {release}", lambda log: self._install(version, release, log)),
        )

    def missing(self, version: VersionSpec) -> str | None:
        if not self._python(version).is_file():
            return "its virtual environment's Python"
        return None if (self._packages(version) / "openslides" / "__init__.py").is_file() else "its package openslides"

    def check(self, version: VersionSpec) -> None:
        release = self.release(version)
        code = "import django, rest_framework, channels, openslides; print(openslides.__version__)"
        try:
            printed = run([self._python(version), "-c", code], log=lambda text: None, timeout=LOOK_SECONDS)
        except (CommandFailed, CommandMissing) as error:
            raise PreparationBroken(version.name, str(error)) from error
        if printed.strip() != release:
            raise PreparationBroken(version.name, f"its environment holds OpenSlides {printed.strip()}, not {release}")

    def command(self, version: VersionSpec, process: Process) -> Command:
        return Command((str(self._python(version)), *process.arguments), process.environment)

    def service(self, version: VersionSpec, process: Process, instance_id: str) -> Command:
        return self.command(version, process)

    def outdated(self, version: VersionSpec, log: Log) -> bool:
        """Never: what is installed is what the lock file says."""
        return False

    def stop(self, instance_id: str) -> tuple[str, ...]:
        return ()

    def cleanup(self, instance_id: str) -> tuple[str, ...]:
        return ()

    def containers(self) -> Collection[str]:
        """Processes of this engine are their services, and nothing else."""
        return ()

    def remove_container(self, instance_id: str) -> None:
        """There are none."""

    def discard(self, version: VersionSpec) -> None:
        """Nothing: all of it lies in the version's directory."""

    def _python(self, version: VersionSpec) -> Path:
        return self.layout.version(version).venv / "bin" / "python"

    def _packages(self, version: VersionSpec) -> Path:
        return self.layout.version(version).venv / "lib" / f"python{PYTHON}" / "site-packages"

    def _make(self, version: VersionSpec, log: Log) -> None:
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        found = run([self.python, "-c", asked], log=lambda text: None, timeout=LOOK_SECONDS).strip()
        if found != PYTHON:
            raise PythonUnsuitable(str(self.python), found, PYTHON)
        venv = self.layout.version(version).venv
        if venv.exists():
            shutil.rmtree(venv)
        try:
            run([self.python, "-m", "venv", venv], log=log, timeout=self.timeout, env=_environment())
        except CommandFailed as error:
            raise VenvUnusable(error.tail) from error
        log(f"Python {found} from {self.python}\n")

    def _install(self, version: VersionSpec, release: str, log: Log) -> None:
        pip: list[str | Path] = [
            self._python(version),
            "-m",
            "pip",
            "install",
            "--require-hashes",
            "--no-input",
            "--progress-bar",
            "off",
        ]
        environment = _environment() | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        run([*pip, "-r", LOCKS / "build.txt"], log=log, timeout=self.timeout, env=environment)
        arguments: list[str | Path] = ["--no-deps", "--no-build-isolation", "-r", _lock(release)]
        run([*pip, *arguments], log=log, timeout=self.timeout, env=environment)
        shim.install(self._packages(version))
        self.check(version)


def known_images() -> tuple[str, ...]:
    """Every image that this engine can prepare, sorted."""
    releases = sorted(path.stem.removeprefix("openslides-") for path in LOCKS.glob("openslides-*.txt"))
    return tuple(f"pypi:openslides=={release}" for release in releases)


def _lock(release: str) -> Path:
    return LOCKS / f"openslides-{release}.txt"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if PIP_VARIABLES.fullmatch(name)}
