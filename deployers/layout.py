"""Where everything lies on a host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deployers.errors import UnusablePath
from deployers.spec import VersionSpec

SOCKET_PATH_BYTES = 99
"""unix(7): a socket's path has at most 107 bytes; supervisor binds ``PATH.PID`` first (8 bytes more) and links it."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f\[\]*?:]|\s[;#]|^\s|\s$")


@dataclass(frozen=True, slots=True)
class Layout:
    """What every kind of host has below its data directory: versions and instances."""

    data_dir: Path

    def version(self, version: VersionSpec) -> VersionPaths:
        return VersionPaths(self.data_dir / "versions" / version.directory_name)

    def instance(self, instance_id: str) -> InstancePaths:
        """Raises ValueError: the id is not 32 hexadecimal digits, so it must not become part of a path."""
        directory = self.data_dir / "instances" / checked_id(instance_id)
        return InstancePaths(directory, directory / "static")


@dataclass(frozen=True, slots=True)
class SystemdLayout(Layout):
    """The paths of a production host. ``runtime`` is gone after a reboot (file-hierarchy(7), /run)."""

    data_dir: Path = Path("/srv/openslides")
    runtime: Path = Path("/run/openslides")

    def instance(self, instance_id: str) -> InstancePaths:
        """The instance's own static files lie in the one directory that nginx sees."""
        directory = self.data_dir / "instances" / checked_id(instance_id)
        return InstancePaths(directory, directory / "public" / "static")

    def web(self, instance_id: str) -> Path:
        """The directory in which OpenSlides makes its socket; the container sees this part only."""
        return self.runtime / "web" / checked_id(instance_id)

    def web_socket(self, instance_id: str) -> Path:
        return self.web(instance_id) / "web.sock"


@dataclass(frozen=True, slots=True)
class EmbeddedLayout(Layout):
    """The paths of one embedded host.

    Raises UnusablePath where the data directory's own path cannot be used: supervisor's configuration has no
    quoting for glob characters, control characters and `` ;``, `` #``; a colon cannot be in PYTHONPATH.
    """

    def __post_init__(self) -> None:
        if not self.data_dir.is_absolute():
            object.__setattr__(self, "data_dir", self.data_dir.absolute())
        if _UNFIT.search(str(self.data_dir)):
            reason = "its path has a control character, one of [ ] * ? :, a space before ; or #, or a space at an end"
            raise UnusablePath(str(self.data_dir), reason)
        size = len(str(self.supervisor_socket).encode())
        if size > SOCKET_PATH_BYTES:
            reason = (
                f"the path of supervisor's socket in it is {size} bytes long, and a unix socket's may have "
                f"{SOCKET_PATH_BYTES}; a DATA_DIR that is {size - SOCKET_PATH_BYTES} bytes shorter works"
            )
            raise UnusablePath(str(self.supervisor_socket), reason)

    @property
    def log(self) -> Path:
        return self.data_dir / "log"

    @property
    def supervisor(self) -> Path:
        return self.data_dir / "supervisor"

    @property
    def supervisor_conf(self) -> Path:
        return self.supervisor / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        return self.supervisor / "supervisor.sock"

    @property
    def supervisor_pid(self) -> Path:
        return self.supervisor / "supervisord.pid"

    @property
    def supervisor_instances(self) -> Path:
        return self.supervisor / "instances.d"


@dataclass(frozen=True, slots=True)
class VersionPaths:
    """What one prepared version consists of."""

    directory: Path

    @property
    def venv(self) -> Path:
        return self.directory / "venv"

    @property
    def static(self) -> Path:
        return self.directory / "static"

    @property
    def template(self) -> Path:
        return self.directory / "template.sqlite"

    @property
    def build(self) -> Path:
        """The settings with which the template is built; gone when the version is prepared."""
        return self.directory / "build"

    @property
    def prepared(self) -> Path:
        return self.directory / "prepared.json"

    @property
    def arriving(self) -> Path:
        """There while a newer preparation takes the place of the one before."""
        return self.directory / "arriving"


@dataclass(frozen=True, slots=True)
class InstancePaths:
    """What one instance consists of.

    ``static``: files of this instance alone, which come before the version's: its projector logo.
    """

    directory: Path
    static: Path

    @property
    def settings(self) -> Path:
        return self.directory / "settings.py"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def database(self) -> Path:
        return self.data / "database.sqlite"

    @property
    def media(self) -> Path:
        return self.data / "media"

    @property
    def log(self) -> Path:
        return self.directory / "log" / "instance.log"

    @property
    def release(self) -> Path:
        """Which OpenSlides the data belongs to."""
        return self.directory / "release"

    @property
    def restored(self) -> Path:
        """Which backup the data were made of when the instance was created, if they were."""
        return self.directory / "restored"

    @property
    def previous(self) -> Path:
        return self.directory / "previous"


def checked_id(instance_id: str) -> str:
    """Raises ValueError: the id is not 32 hexadecimal digits, so it must not become part of a path or a name."""
    if not re.fullmatch(r"[0-9a-f]{32}", instance_id):
        raise ValueError(f"{instance_id!r} is not an instance's id (32 hexadecimal digits)")
    return instance_id
