"""Who is connected to an instance, read from the kernel's list of unix sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deployers.routers.connections import open_connections

ONE, OTHER = "1" * 32, "2" * 32


@pytest.fixture
def place() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most (unix(7))."""
    with TemporaryDirectory(prefix="mi-") as directory:
        yield Path(directory)


@pytest.fixture
def sockets(place: Path) -> Iterator[dict[str, socket.socket]]:
    """Two that listen, as systemd does for two instances."""
    with ExitStack() as stack:
        made = {}
        for name in (ONE, OTHER):
            made[name] = stack.enter_context(socket.socket(socket.AF_UNIX))
            made[name].bind(str(place / f"{name}.sock"))
            made[name].listen()
        yield made


def test_nobody_is_connected_to_a_socket_that_only_listens(sockets: dict[str, socket.socket], place: Path) -> None:
    assert open_connections(place) == {}


def test_connections_are_counted_until_they_are_closed(sockets: dict[str, socket.socket], place: Path) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            visitor = stack.enter_context(socket.socket(socket.AF_UNIX))
            visitor.connect(str(place / f"{ONE}.sock"))
        accepted = stack.enter_context(sockets[ONE].accept()[0])
        assert open_connections(place) == {ONE: 3}
        accepted.close()
        assert open_connections(place) == {ONE: 2}
    # Those that nobody has accepted go with the socket that listens.
    sockets[ONE].close()
    assert open_connections(place) == {}


def test_sockets_of_others_are_not_counted(tmp_path: Path) -> None:
    directory = Path("/run/openslides/sockets")
    lines = [
        "Num       RefCount Protocol Flags    Type St Inode Path\n",
        "0000000000000000: 00000002 00000000 00010000 0001 01 1 /run/openslides/sockets/" + ONE + ".sock\n",
        "0000000000000000: 00000003 00000000 00000000 0001 03 2 /run/openslides/sockets/" + ONE + ".sock\n",
        "0000000000000000: 00000003 00000000 00000000 0001 03 3\n",
        "0000000000000000: 00000003 00000000 00000000 0001 03 4 @/run/openslides/sockets/x.sock\n",
        "0000000000000000: 00000003 00000000 00000000 0001 03 5 /run/openslides/sockets/" + OTHER + ".sock.old\n",
        "0000000000000000: 00000003 00000000 00000000 0001 03 6 /run/postgresql/.s.PGSQL.5432\n",
    ]
    assert open_connections(directory, lines) == {ONE: 1}
