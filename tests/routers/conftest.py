"""An nginx for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.routers.nginx_host import HASHED, Instance, Tree, open_host, spec, tree
from tests.routers.offline import Offline


@pytest.fixture(scope="session", autouse=True)
def a_reload_has_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deployers.routers.domains.SERVED_SECONDS", 120.0)
        yield


@pytest.fixture(scope="module")
def host() -> Iterator[Tree]:
    with open_host() as made:
        yield made


@pytest.fixture
def bare() -> Iterator[Tree]:
    """A host whose nginx does not run."""
    with tree() as made:
        yield made


@pytest.fixture
def offline(bare: Tree) -> Offline:
    return Offline(bare)


@pytest.fixture(scope="module")
def version_3(host: Tree) -> Path:
    static = host.static("3", index_html="client 3", assets__logo_svg="<svg/>", ngsw_json="{}")
    (static / HASHED).write_text("x" * 5000)
    return static


@pytest.fixture(scope="module")
def version_2(host: Tree) -> Path:
    static = host.static("2", js__openslides_js="script", js__webclient_site_js="not for you")
    for name in ("index", "projector", "projector-container"):
        (static / "templates").mkdir(exist_ok=True)
        (static / "templates" / f"{name}.html").write_text(name)
    return static


@pytest.fixture
def three(host: Tree, version_3: Path) -> Iterator[Instance]:
    wanted = spec()
    with host.running(wanted, version_3, 3) as backend:
        yield Instance(host, wanted, backend)


@pytest.fixture
def two(host: Tree, version_2: Path) -> Iterator[Instance]:
    wanted = spec()
    with host.running(wanted, version_2, 2) as backend:
        yield Instance(host, wanted, backend)
