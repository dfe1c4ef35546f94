"""Ready means: OpenSlides itself answered, in the version that was asked for."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable

from deployers import interruption
from deployers.errors import NotReady
from deployers.routers.address import Address, UnixAddress

FIRST_POLL_SECONDS = 0.02
LAST_POLL_SECONDS = 0.25
REQUEST_SECONDS = 10.0
STATE_SECONDS = 0.25
"""How often the service manager is asked meanwhile."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connection_to(address: Address, timeout: float) -> http.client.HTTPConnection:
    """Not connected yet."""
    if isinstance(address, UnixAddress):
        return UnixConnection(str(address.path), timeout)
    return http.client.HTTPConnection(address.host, address.port, timeout=timeout)


def not_ready_because(address: Address, version_path: str, release: str, timeout: float) -> str | None:
    """Why OpenSlides ``release`` does not answer at ``address``; None if it does.

    The status alone says nothing: OpenSlides answers an unknown path with 200 and its index page.
    """
    connection = connection_to(address, timeout)
    try:
        connection.request("GET", version_path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            return f"{version_path} answers {answer.status}"
        try:
            answered = json.loads(body)["openslides_version"]
        except (ValueError, KeyError, TypeError):
            return f"{version_path} answers something that is not OpenSlides' version"
        if answered != release:
            return f"OpenSlides {answered} answers instead of {release}"
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return None if answer.status == 200 else f"the index page answers {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return f"{address}: {error or type(error).__name__}"
    finally:
        connection.close()


def wait_until_ready(
    address: Address,
    version_path: str,
    release: str,
    *,
    timeout: float,
    has_given_up: Callable[[], bool],
    log_tail: Callable[[], str],
) -> None:
    """Poll until OpenSlides answers. Raises NotReady after ``timeout`` seconds, or when the service has given up."""
    began = time.monotonic()
    next_look = began + STATE_SECONDS
    while True:
        reason = not_ready_because(address, version_path, release, min(REQUEST_SECONDS, timeout))
        if reason is None:
            return
        elapsed = time.monotonic() - began
        if began + elapsed >= next_look:
            if has_given_up():
                raise NotReady(elapsed, "its process ended, and is not started again", log_tail())
            next_look = time.monotonic() + STATE_SECONDS
        if elapsed >= timeout:
            raise NotReady(elapsed, reason, log_tail())
        # 20 ms up to 0.4 s, then in proportion: a waiting control plane must not slow what it waits for.
        interruption.sleep(min(LAST_POLL_SECONDS, max(FIRST_POLL_SECONDS, elapsed / 20)))
