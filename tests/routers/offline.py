"""A host whose nginx checks its configuration but does not run."""

from __future__ import annotations

from pathlib import Path

from deployers.routers.domain_blocks import Places, Program
from deployers.routers.domain_file import DomainFile
from deployers.routers.domain_result import Result
from deployers.routers.domains import write_domain
from tests.routers.nginx_host import DOMAIN, Tree


class Offline:
    """Its reload is a line in a file."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.reloads = tree.root / "reloads"
        self.said: list[str] = []

    def run(self, **places: object) -> Result:
        fields = {name: getattr(self.tree.places, name) for name in Places.__dataclass_fields__}
        note = ("sh", "-c", f"echo reload >> {self.reloads}")
        made = Places(**{**fields, "nginx_reload": note, **places})
        return Program(made, self.said.append).bring_up_to_date()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.tree.layout.domains / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def domain(self, domain_id: int, name: str = DOMAIN, *certificate: str) -> None:
        write_domain(self.tree.layout, DomainFile(domain_id, name, *certificate))

    @property
    def blocks(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.tree.places.configuration.glob("*.conf")}

    @property
    def reloaded(self) -> int:
        return len(self.reloads.read_text().splitlines()) if self.reloads.exists() else 0
