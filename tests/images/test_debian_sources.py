"""Which mirror the images' base is taken from: the one that the machine's own apt has."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from images import debian
from images.debian import of_machine
from images.errors import MirrorUnknown

RELEASE = platform.freedesktop_os_release()["VERSION_CODENAME"]
MIRROR = "https://deb.example.test/debian"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory; apt, the real one, has its sources from ``sources.list`` in there."""
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    settings = tmp_path / "apt.conf"
    settings.write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources.list"; Dir::Etc::SourceParts "/dev/null"; Dir::State "{tmp_path}";\n'
    )
    on_machine = debian.on_machine

    def asked(argv: list[str | Path], scratch: Path) -> str:
        return on_machine(argv, scratch, {"APT_CONFIG": str(settings)})

    monkeypatch.setattr(debian, "on_machine", asked)
    return tmp_path


def test_an_ordinary_source_is_taken(machine: Path) -> None:
    (machine / "sources.list").write_text(f"deb {MIRROR} {RELEASE} main\n")
    assert of_machine(machine).mirror == MIRROR


def test_of_a_list_of_mirrors_the_first_with_http_is_taken(machine: Path) -> None:
    """As Debian's images for clouds have it."""
    listed = machine / "mirrors.list"
    listed.write_text(f"# a comment\n\nfile:/srv/mirror/\n{MIRROR}/\tpriority:1\nhttp://other.example.test/debian\n")
    suites = (RELEASE, f"{RELEASE}-updates")
    (machine / "sources.list").write_text("".join(f"deb mirror+file:{listed} {suite} main\n" for suite in suites))
    found = of_machine(machine)
    assert found.mirror == MIRROR
    assert found.sources == tuple(f"deb {MIRROR} {suite} main" for suite in suites)


@pytest.mark.parametrize("content", ["", "file:/srv/mirror/\n", None])
def test_a_list_without_one_says_what_to_name(machine: Path, content: str | None) -> None:
    listed = machine / "mirrors.list"
    if content is not None:
        listed.write_text(content)
    (machine / "sources.list").write_text(f"deb mirror+file:{listed} {RELEASE} main\n")
    with pytest.raises(MirrorUnknown, match="DEBIAN_MIRROR"):
        of_machine(machine)
