"""An nginx for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.routers.nginx_host import Tree, open_host, tree


@pytest.fixture(scope="module")
def host() -> Iterator[Tree]:
    with open_host() as made:
        yield made


@pytest.fixture
def bare() -> Iterator[Tree]:
    """A host whose nginx does not run."""
    with tree() as made:
        yield made
