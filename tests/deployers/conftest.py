"""Real hosts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployers.host import Host, open_host, prepare


@pytest.fixture(scope="session")
def prepared() -> None:
    prepare("3.3", "3.2", "2.3")


@pytest.fixture(scope="module")
def host(prepared: None) -> Iterator[Host]:
    host = open_host()
    try:
        yield host
    finally:
        left = host.close()
    assert not left, f"Processes outlived their host: {left}"
