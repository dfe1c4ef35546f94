"""The base: a root file system of the machine's own Debian release, with Python and nothing to install more with."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from images.errors import DebianUnsuitable, MirrorUnknown
from images.recipe import PYTHON
from images.sandbox import in_root, on_machine

USER = "openslides"
USER_ID = 1000

UNWANTED = (
    "etc/resolv.conf",  # debootstrap copies the machine's own
    "etc/hostname",
    "etc/apt/sources.list",
    "var/lib/dpkg/*-old",
    "etc/*-",  # copies that useradd makes
    "var/lib/apt/lists/*",
    "var/cache/*",
    "var/log/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/doc/*/*",
)
KEPT = "usr/share/doc/*/copyright"


@dataclass(frozen=True, slots=True)
class Debian:
    """Where the base comes from. ``sources``: lines of sources.list(5), first the one that debootstrap takes."""

    release: str
    architecture: str
    mirror: str
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join((self.release, self.architecture, *self.sources))


def of_machine(scratch: Path) -> Debian:
    """The machine's own release and mirrors, DEBIAN_MIRROR before them. Raises MirrorUnknown.

    apt-get(8): ``indextargets`` shows the sources of both formats, also when no list was fetched yet.
    """
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    architecture = on_machine(["dpkg", "--print-architecture"], scratch).strip()
    form = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    printed = on_machine(["apt-get", "indextargets", "--no-release-info", "--format", form], scratch)
    found: dict[str, str] = {}
    for line in printed.splitlines():
        match line.split():
            case ["Packages", uri, suite, "main"] if mirror := _mirror(uri):
                found.setdefault(suite, mirror)
    chosen = os.environ.get("DEBIAN_MIRROR", "").rstrip("/")
    if chosen:
        found[release] = chosen
        if f"{release}-updates" in found:
            found[f"{release}-updates"] = chosen
    if release not in found:
        raise MirrorUnknown(release)
    suites = [suite for suite in (release, f"{release}-updates", f"{release}-security") if suite in found]
    return Debian(release, architecture, found[release], tuple(f"deb {found[suite]} {suite} main" for suite in suites))


def _mirror(uri: str) -> str | None:
    """What debootstrap can take for a URI of apt's; None if there is nothing.

    apt-transport-mirror(1): ``mirror+file:/PATH`` is a file with a mirror per line, first its URI; Debian's images for
    clouds have that.
    """
    if not uri.startswith("mirror+"):
        return uri.rstrip("/")
    listed = Path(uri.removeprefix("mirror+file:").rstrip("/"))
    if not uri.startswith("mirror+file:/") or not listed.is_file():
        return None
    for line in listed.read_text(encoding="utf-8").splitlines():
        if line.startswith(("http://", "https://")):
            return line.split()[0].rstrip("/")
    return None


def make_base(debian: Debian, root: Path, scratch: Path) -> None:
    """Make the root file system ``root``, with all security updates. Raises DebianUnsuitable."""
    on_machine(["debootstrap", "--variant=minbase", debian.release, root, debian.mirror], scratch)
    apt = _apt(debian, root, scratch)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    on_machine([*apt, "update"], scratch, quiet)
    on_machine([*apt, "--yes", "dist-upgrade"], scratch, quiet)
    on_machine([*apt, "--yes", "install", "python3"], scratch, quiet)
    python = in_root(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], root).strip()
    if python != PYTHON:
        raise DebianUnsuitable(debian.release, python, PYTHON)
    _add_user(root)
    _trim(root)
    compile_all(root, f"/usr/lib/python{PYTHON}", "/usr/lib/python3")


def compile_all(root: Path, *directories: str) -> None:
    """Compile Python files for a root that is read-only, and whose files all get one time stamp in the image.

    "unchecked-hash": a compiled file counts although its source's time has changed (PEP 552).
    """
    compiler = ["python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    in_root([*compiler, *directories], root)


def newest_package(root: Path) -> int:
    """When the newest package in ``root`` was made, in seconds since 1970: the same packages, the same number."""
    return max(int(path.lstat().st_mtime) for path in root.glob(KEPT))


def _apt(debian: Debian, root: Path, scratch: Path) -> list[str]:
    """The machine's own apt-get, which knows its proxy and certificates, with everything else in ``root``.

    It runs dpkg in ``root`` (apt.conf(5): DPkg::Chroot-Directory).
    """
    sources = scratch / "sources.list"
    sources.write_text("".join(f"{line}\n" for line in debian.sources), encoding="utf-8")
    options = {
        "APT::Architecture": debian.architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::State": f"{root}/var/lib/apt",
        "Dir::State::status": f"{root}/var/lib/dpkg/status",
        "Dir::Cache": f"{root}/var/cache/apt",
        "Dir::Log": f"{root}/var/log/apt",
        "Dir::Etc::SourceList": str(sources),
        "Dir::Etc::SourceParts": "/dev/null",
        "DPkg::Chroot-Directory": str(root),
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def _add_user(root: Path) -> None:
    """The user that everything runs as; it owns no file."""
    in_root(["groupadd", "--gid", str(USER_ID), USER], root)
    options = ["--uid", str(USER_ID), "--gid", str(USER_ID), "--no-create-home", "--home-dir", "/"]
    in_root(["useradd", *options, "--shell", "/usr/sbin/nologin", "--no-log-init", USER], root)
    # shadow(5): the day of the last password change. Without it two builds on different days are the same.
    shadow = root / "etc" / "shadow"
    shadow.write_text(re.sub(r"^([^:]*:[^:]*):[0-9]*:", r"\1::", shadow.read_text(), flags=re.MULTILINE))


def _trim(root: Path) -> None:
    """Take away what only an installation needs, and every set-uid bit."""
    kept = set(root.glob(KEPT))
    for pattern in UNWANTED:
        for path in root.glob(pattern):
            if path in kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / "etc" / "machine-id").write_bytes(b"")
    for path in _files(root):
        mode = path.lstat().st_mode
        if mode & 0o6000:
            path.chmod(mode & 0o1777)


def _files(root: Path) -> Iterator[Path]:
    """Every regular file below ``root``; no symbolic link is followed."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path
