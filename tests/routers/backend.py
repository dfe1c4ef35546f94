"""A small real server on a unix socket, in an instance's place."""

from __future__ import annotations

import base64
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

WEBSOCKET_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Backend:
    """``redirects``: X-Accel-Redirect by path. ``statuses``: by path. ``delay``: seconds before each answer."""

    socket: Path
    seen: list[Seen] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    delay: float = 0

    @property
    def last(self) -> Seen:
        return self.seen[-1]


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """nginx closes the connection once it has read that the instance is awake."""
        if not isinstance(sys.exception(), BrokenPipeError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(socket: Path) -> Iterator[Backend]:
    backend = Backend(socket)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *arguments: object) -> None:
            pass

        def __getattr__(self, name: str) -> Callable[[], None]:
            """Every method is answered alike: do_GET, do_POST and so on."""
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            backend.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))
            time.sleep(backend.delay)
            if self.headers.get("Upgrade") == "websocket":
                return self.websocket()
            content = f"OpenSlides: {self.path}".encode()
            self.send_response(backend.statuses.get(self.path, 200))
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/x-backend")
            if self.path in backend.redirects:
                self.send_header("X-Accel-Redirect", backend.redirects[self.path])
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            return None

        def websocket(self) -> None:
            key = self.headers["Sec-WebSocket-Key"].encode()
            accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_MAGIC).digest()).decode()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            self.wfile.write(self.rfile.read(5)[::-1])
            self.close_connection = True

    server = _Server(str(socket), Handler)
    socket.chmod(0o666)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        socket.unlink()
