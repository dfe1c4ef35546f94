"""Router ``nginx``: an instance is reached by its name, SLUG.DOMAIN.

nginx finds everything of an instance by path (templates/host/nginx/domain.conf.j2), so that giving an instance its
address is making one link, ``by-name/DOMAIN ID/SLUG``, to the directory with all that nginx sees of it.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployers.errors import DeployError
from deployers.routers.address import UnixAddress
from deployers.routers.connections import open_connections
from deployers.routers.domain_file import DomainFile
from deployers.routers.domains import Domains
from deployers.routers.nginx_files import PASSAGE, clear_drafts, make_directory, set_link, write_public
from deployers.routers.nginx_layout import SOCKET_PATH_BYTES, NginxLayout, PublicPaths
from deployers.routers.nginx_pages import INACTIVE, STARTING, UPDATING, pages
from deployers.spec import DomainSpec, InstanceSpec, Location

__all__ = ["NginxLayout", "NginxRouter"]

TLS_MODE = "subdomain"
PLAIN_MODE = "subdomain_nossl"
MAJORS = (2, 3)
ATTEMPTS = 3
INSTANCE = re.compile(r"[0-9a-f]{32}")


@dataclass(eq=False)
class ModeUnsupported(DeployError):
    """No client of the supported OpenSlides versions can live under a path."""

    mode: str

    def __str__(self) -> str:
        return (
            f"An instance of the mode {self.mode!r} cannot be given an address on this host. "
            f"Choose {TLS_MODE} (https) or {PLAIN_MODE} (http)."
        )


@dataclass(eq=False)
class InTheWay(DeployError):
    """Something that nobody of this product made is where an instance's socket or link belongs."""

    path: Path
    wanted: str

    def __str__(self) -> str:
        return (
            f"{self.path} is in the way: {self.wanted} belongs there, and it is something else. "
            f"Look what it is (ls -la {self.path}), move it away, and try again."
        )


@dataclass(eq=False)
class AddressTaken(DeployError):
    """Another instance of this host has the address."""

    path: Path
    leads_to: Path

    def __str__(self) -> str:
        return (
            f"The address is another instance's: {self.path} leads to {self.leads_to}. "
            "Remove that instance, or choose another slug. If there is no such instance any more, delete the link."
        )


@dataclass(eq=False)
class PathTooLong(DeployError):
    """A unix socket's path would be longer than the kernel allows."""

    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path} has {len(str(self.path).encode())} bytes, and the path of a unix socket may have "
            f"{SOCKET_PATH_BYTES}. Choose a shorter slug, or shorter directories for this host."
        )


@dataclass(frozen=True, slots=True)
class NginxRouter:
    """See the module."""

    layout: NginxLayout = field(default_factory=NginxLayout)
    domains: Domains = field(default_factory=Domains)

    @property
    def has_front(self) -> bool:
        return True

    def listen(self, spec: InstanceSpec) -> UnixAddress:
        return UnixAddress(self.layout.web(spec.id))

    def front(self, spec: InstanceSpec) -> UnixAddress:
        """Where a connection wakes the instance."""
        return UnixAddress(self.layout.front(spec.id))

    def writes(self, spec: InstanceSpec) -> tuple[Path, ...]:
        return (self.layout.web(spec.id).parent,)

    def url(self, location: Location) -> str:
        scheme = "http" if location.mode == PLAIN_MODE else "https"
        return f"{scheme}://{location.slug}.{location.domain}/"

    def hosts(self, spec: InstanceSpec) -> list[str]:
        """``localhost`` is for those who ask the instance's own socket: its health check, and the control plane."""
        return [f"{spec.slug}.{spec.domain}", "localhost"]

    def check_free(self, spec: InstanceSpec) -> None:
        """Raises ModeUnsupported, PathTooLong, InTheWay, AddressTaken."""
        _check_mode(spec)
        address = self.layout.address(spec.domain_id, spec.slug)
        for path in (self.layout.web(spec.id), self.layout.front(spec.id), address / self.layout.socket_name):
            if len(str(path).encode()) > SOCKET_PATH_BYTES:
                raise PathTooLong(path)
        for path in (self.layout.web(spec.id), self.layout.front(spec.id)):
            if _exists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
                raise InTheWay(path, "the instance's socket")
        self._check_address(address, self.layout.public(spec.id))

    def connections(self) -> Mapping[str, int]:
        return open_connections(self.layout.sockets)

    def port_is_free(self, port: int) -> bool:
        """Ports are of no use here."""
        return True

    def open_domain(self, domain: DomainSpec) -> None:
        """Bring the domain to nginx, which costs nothing if it is there. Raises DomainRefused."""
        wanted = DomainFile(domain.id, domain.name, domain.certificate or None, domain.certificate_key or None)
        if not self.domains.is_published(wanted):
            self.domains.publish(wanted, lambda text: None)

    def close_domain(self, domain: DomainSpec) -> None:
        """Raises DomainRefused."""
        self.domains.withdraw(domain.id, domain.name, lambda text: None)

    def publish(self, spec: InstanceSpec, static: Path, major: int) -> None:
        """Make the address lead to the instance as it is with this version. ``static``: the version's static files.

        May be done again at any time, also for another version. Raises ModeUnsupported, InTheWay, AddressTaken.
        """
        if major not in MAJORS:
            raise ValueError(f"nginx has no rules for OpenSlides {major}")
        _check_mode(spec)
        public = self.layout.public(spec.id)
        self._check_address(self.layout.address(spec.domain_id, spec.slug), public)
        make_directory(public.directory)
        self._clear_drafts(public)
        clear_drafts(self.layout.address(spec.domain_id, spec.slug))
        set_link(public.socket, self.layout.front(spec.id))
        set_link(public.media, Path("..") / "data" / "media")
        make_directory(public.static)
        make_directory(public.pages)
        for name, text in pages((STARTING, INACTIVE), spec.event.name).items():
            write_public(public.pages / name, text)
        set_link(public.version, static)
        # Between the two marks the newer rules count; an instance that is published anew does not run.
        write_public(public.major(major), "")
        for other in MAJORS:
            if other != major:
                public.major(other).unlink(missing_ok=True)
        if spec.mode == TLS_MODE:
            write_public(public.tls, "")
        else:
            public.tls.unlink(missing_ok=True)
        public.updating.unlink(missing_ok=True)
        public.stopped.unlink(missing_ok=True)
        self._link(self.layout.address(spec.domain_id, spec.slug), public)

    def announce(self, spec: InstanceSpec) -> None:
        """Show the page "is being updated". Nothing to do for an instance that was never published."""
        public = self.layout.public(spec.id)
        if not public.pages.is_dir():
            return
        for name, text in pages((UPDATING,), spec.event.name).items():
            write_public(public.pages / name, text)
        write_public(public.updating, "")
        # For an nginx whose configuration knows nothing of the other mark yet.
        write_public(public.stopped, "")

    def pause(self, spec: InstanceSpec) -> None:
        """Show the page "is inactive". Nothing to do for an instance that was never published."""
        public = self.layout.public(spec.id)
        self._clear_drafts(public)
        with contextlib.suppress(FileNotFoundError):
            write_public(public.stopped, "")
        public.updating.unlink(missing_ok=True)

    def resume(self, spec: InstanceSpec) -> None:
        public = self.layout.public(spec.id)
        self._clear_drafts(public)
        public.updating.unlink(missing_ok=True)
        public.stopped.unlink(missing_ok=True)

    def _clear_drafts(self, public: PublicPaths) -> None:
        """An instance has one operation at a time, so what is being written there is nobody's any more."""
        for directory in (public.directory, public.pages):
            clear_drafts(directory)

    def withdraw(self, spec: InstanceSpec) -> None:
        """Take the address away, unless it leads to another instance by now."""
        self._withdraw(self.layout.address(spec.domain_id, spec.slug), spec.id)

    def _withdraw(self, address: Path, instance_id: str) -> None:
        if address.is_symlink() and address.readlink() == self.layout.public(instance_id).directory:
            address.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty: the domain has other instances
                address.parent.rmdir()

    def published(self) -> Sequence[tuple[Path, str]]:
        """Links of our own making only: whatever leads elsewhere is somebody else's."""
        return list(self._published())

    def _published(self) -> Iterator[tuple[Path, str]]:
        domains = list(self.layout.by_name.iterdir()) if self.layout.by_name.is_dir() else []
        for domain in domains:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # its last instance was just withdrawn
                for address in list(domain.iterdir()):
                    target = _target(address)
                    number = target.parent.name
                    if INSTANCE.fullmatch(number) and target == self.layout.public(number).directory:
                        yield address, number

    def unpublish(self, address: Path, instance_id: str) -> None:
        if address.parent.parent == self.layout.by_name:
            self._withdraw(address, instance_id)

    def _check_address(self, address: Path, public: PublicPaths) -> None:
        if not address.is_symlink():
            if _exists(address):
                raise InTheWay(address, "a link to the instance")
            return
        target = address.readlink()
        # One that leads nowhere is the rest of a removed instance.
        if target != public.directory and address.exists():
            raise AddressTaken(address, target)

    def _link(self, address: Path, public: PublicPaths) -> None:
        for attempt in range(ATTEMPTS):
            make_directory(address.parent, PASSAGE)
            try:
                return set_link(address, public.directory)
            except FileNotFoundError:  # the domain's last instance was withdrawn in between, and its directory with it
                if attempt == ATTEMPTS - 1:
                    raise
        return None


def _check_mode(spec: InstanceSpec) -> None:
    if spec.mode not in (TLS_MODE, PLAIN_MODE):
        raise ModeUnsupported(spec.mode)


def _target(link: Path) -> Path:
    """Where a link leads; an empty path for what is none, or none any more."""
    try:
        return link.readlink() if link.is_symlink() else Path()
    except FileNotFoundError:
        return Path()


def _exists(path: Path) -> bool:
    """Also as a link that leads nowhere."""
    return path.exists() or path.is_symlink()
