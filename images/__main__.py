"""``python3 -m images RELEASE…``: make the archives that are missing or made of other things than are there now.

IMAGE_DIR: where they go. DEBIAN_MIRROR: instead of the mirror in the machine's apt sources. FORCE=1: build in any case.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from deployers.errors import DeployError
from images import debian
from images.application import HOME, Installer
from images.archive import Buildah, pack
from images.errors import NotRoot, ProgramsMissing
from images.recipe import Recipe

IMAGE_DIR = "/srv/openslides/images"
SCRATCH = ".build-"
NEEDED = (
    ("debootstrap", "debootstrap"),
    ("buildah", "buildah"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("tar", "tar"),
)


def main(releases: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, _end)
    directory = Path(os.environ.get("IMAGE_DIR") or IMAGE_DIR).absolute()
    force = os.environ.get("FORCE", "") not in ("", "0")
    os.umask(0o022)
    try:
        _check_machine()
        recipes = [Recipe(release) for release in releases]
        for recipe in recipes:
            recipe.check()
        directory.mkdir(parents=True, exist_ok=True)
        with scratch_directory(directory) as scratch:
            make(recipes, directory, scratch, force=force)
    except DeployError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Ended; nothing was changed.")
        return 130
    return 0


def make(recipes: Sequence[Recipe], directory: Path, scratch: Path, *, force: bool) -> None:
    """Build what is not up to date. The base is made once for all."""
    machine = debian.of_machine(scratch)
    due: list[tuple[Recipe, str]] = []
    for recipe in recipes:
        inputs = recipe.inputs(str(machine))
        if not force and _is_made(recipe, inputs, directory):
            _say(f"{directory / recipe.archive} is up to date (FORCE=1 builds it anyway).")
        else:
            due.append((recipe, inputs))
    if not due:
        return
    began = time.monotonic()
    root = scratch / "root"
    context = scratch / "context"
    context.mkdir()
    _say(f"Making the base: Debian {machine.release} …")
    debian.make_base(machine, root, scratch)
    seconds = debian.newest_package(root)
    pack(root, ".", context / "base.tar", seconds)
    buildah = Buildah(scratch, context, seconds)
    buildah.build_base()
    _say(f"Base made in {time.monotonic() - began:.0f} s.")
    installer = Installer(scratch)
    for recipe, inputs in due:
        began = time.monotonic()
        installer.install(recipe, root)
        pack(root, HOME, context / "openslides.tar", seconds)
        shutil.rmtree(root / HOME)
        buildah.build(recipe)
        made = scratch / recipe.archive
        facts = {"release": recipe.release, "reference": recipe.reference, "inputs": inputs}
        facts |= buildah.export(recipe, made)
        _put_in_place(recipe, made, facts, directory)
        size = (directory / recipe.archive).stat().st_size / 1e6
        _say(f"{directory / recipe.archive}: {size:.0f} MB in {time.monotonic() - began:.0f} s.")


@contextmanager
def scratch_directory(directory: Path) -> Iterator[Path]:
    """A directory beside the results, on their file system. Waits for another build that is running.

    What a build left behind that was killed is removed: the lock tells that no other one is running.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Another build is running in {directory}: waiting for it …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in directory.glob(f"{SCRATCH}*"):
            shutil.rmtree(left)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=directory))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch)
    finally:
        os.close(descriptor)


def _check_machine() -> None:
    """Raises NotRoot, ProgramsMissing."""
    if os.geteuid() != 0:
        raise NotRoot
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    os.environ["PATH"] = path
    missing = tuple((program, package) for program, package in NEEDED if shutil.which(program, path=path) is None)
    if missing:
        raise ProgramsMissing(missing)


def _is_made(recipe: Recipe, inputs: str, directory: Path) -> bool:
    try:
        facts = json.loads((directory / recipe.note).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (directory / recipe.archive).is_file() and isinstance(facts, dict) and facts.get("inputs") == inputs


def _put_in_place(recipe: Recipe, made: Path, facts: dict[str, str], directory: Path) -> None:
    """The note is absent while it would tell of another archive."""
    note = directory / recipe.note
    new = made.with_suffix(".json")
    new.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    note.unlink(missing_ok=True)
    made.replace(directory / recipe.archive)
    new.replace(note)


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
