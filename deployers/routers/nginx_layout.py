"""Where nginx and an instance's address meet on a production host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deployers.layout import checked_id

GENERATION_HOST = "openslides-generation.invalid"
"""nginx answers GET /generation of this host, on loopback, with the hash of the configuration that it serves."""

SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes, and the last one is a null."""

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class NginxLayout:
    """What nginx sees of instances. ``runtime`` is gone after a reboot."""

    data_dir: Path = Path("/srv/openslides")
    runtime: Path = Path("/run/openslides")
    socket_name: str = "sock"
    """Short: by-name/<10 digits>/<63 letters>/ stands before it, and all of it must fit into SOCKET_PATH_BYTES."""

    @property
    def by_name(self) -> Path:
        return self.data_dir / "by-name"

    @property
    def domains(self) -> Path:
        """One file per domain, written by the control plane for root's program."""
        return self.data_dir / "domains"

    @property
    def domains_result(self) -> Path:
        """What root's program made of them."""
        return self.runtime / "domains.json"

    def address(self, domain_id: int, slug: str) -> Path:
        """The link by which nginx finds an instance. Raises ValueError for what must not become part of a path."""
        if domain_id < 1:
            raise ValueError(f"{domain_id} is not a domain's id")
        if not _SLUG.fullmatch(slug):
            raise ValueError(f"{slug!r} is not a slug")
        return self.by_name / str(domain_id) / slug

    def public(self, instance_id: str) -> PublicPaths:
        return PublicPaths(self.data_dir / "instances" / checked_id(instance_id) / "public", self.socket_name)

    @property
    def sockets(self) -> Path:
        return self.runtime / "sockets"

    def front(self, instance_id: str) -> Path:
        """systemd listens here, and wakes the instance."""
        return self.sockets / f"{checked_id(instance_id)}.sock"

    def web(self, instance_id: str) -> Path:
        """OpenSlides itself listens here."""
        return self.runtime / "web" / checked_id(instance_id) / "web.sock"


@dataclass(frozen=True, slots=True)
class PublicPaths:
    """All that nginx sees of one instance."""

    directory: Path
    socket_name: str

    @property
    def socket(self) -> Path:
        return self.directory / self.socket_name

    @property
    def version(self) -> Path:
        return self.directory / "version"

    @property
    def static(self) -> Path:
        return self.directory / "static"

    @property
    def media(self) -> Path:
        return self.directory / "media"

    @property
    def pages(self) -> Path:
        return self.directory / "pages"

    @property
    def tls(self) -> Path:
        return self.directory / "tls"

    @property
    def stopped(self) -> Path:
        return self.directory / "stopped"

    @property
    def updating(self) -> Path:
        return self.directory / "updating"

    def major(self, number: int) -> Path:
        return self.directory / f"v{number}"
