"""The program /opt/openslides/bin/healthcheck of the images, against real servers."""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from images.recipe import HEALTHCHECK


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0


@contextmanager
def serving(body: bytes, status: int = 200, path: str = "/apps/core/version/", at: str | None = None) -> Iterator[str]:
    """What answers ``body`` for ``path`` only, as OpenSlides answers it for the name "localhost" only."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == path and self.headers["Host"] == "localhost"
            self.send_response(status if known else 400)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler) if at is None else UnixServer(at, Handler)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield at or f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A package openslides that says the version, which is all that the program takes of it."""
    (tmp_path / "openslides").mkdir()
    (tmp_path / "openslides" / "__init__.py").write_text('__version__ = "3.3"\n')
    return tmp_path


def check(packages: Path, *addresses: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-B", HEALTHCHECK, *addresses]
    return subprocess.run(argv, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, timeout=300)


def version(release: str) -> bytes:
    return json.dumps({"openslides_version": release}).encode()


def test_the_right_version_at_a_port_is_healthy(packages: Path) -> None:
    with serving(version("3.3")) as address:
        done = check(packages, address)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_right_version_at_a_socket_is_healthy(packages: Path) -> None:
    with serving(version("3.3"), at=str(packages / "web:1.sock")) as address:
        assert check(packages, address).returncode == 0


def test_openslides_2_has_another_path(packages: Path) -> None:
    (packages / "openslides" / "__init__.py").write_text('__version__ = "2.3"\n')
    with serving(version("2.3"), path="/core/version/") as address:
        assert check(packages, address).returncode == 0


def test_the_index_page_is_not_healthy(packages: Path) -> None:
    with serving(b"<!doctype html>") as address:
        done = check(packages, address)
    assert done.returncode == 1
    assert "answers something that is not OpenSlides' version" in done.stderr


def test_another_version_is_not_healthy(packages: Path) -> None:
    with serving(version("3.2")) as address:
        assert "OpenSlides 3.2 answers instead of 3.3" in check(packages, address).stderr


def test_an_error_is_not_healthy(packages: Path) -> None:
    with serving(version("3.3"), status=503) as address:
        assert "/apps/core/version/ answers 503" in check(packages, address).stderr


def test_nobody_there_is_not_healthy(packages: Path) -> None:
    done = check(packages, str(packages / "nobody.sock"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_it_says_how_it_is_called(packages: Path) -> None:
    done = check(packages)
    assert done.returncode == 1
    assert "healthcheck SOCKET | HOST:PORT" in done.stderr
