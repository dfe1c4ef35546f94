"""supervisord's XML-RPC over its unix socket. Source: supervisord.org/api.html and supervisor/rpcinterface.py 4.3."""

from __future__ import annotations

import errno
import http.client
import socket
import xmlrpc.client
from pathlib import Path
from types import TracebackType
from typing import Self

from deployers.errors import ServiceManagerUnreachable

# supervisor.xmlrpc.Faults
BAD_NAME = 10
ABNORMAL_TERMINATION = 40
ALREADY_STARTED = 60
NOT_RUNNING = 70
ALREADY_ADDED = 90
STILL_RUNNING = 91
CANT_REREAD = 92

NOT_THERE = (errno.ENOENT, errno.ECONNREFUSED)
"""connect(2) of a unix socket: certain that no process listens."""


class SupervisorAbsent(ServiceManagerUnreachable):
    """No supervisord runs, so no instance does either: they die with it."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self.path = path
        self.timeout = timeout
        self.kept: _Connection | None = None

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        if self.kept is None:
            self.kept = _Connection(self.path, self.timeout)
        return self.kept

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None


class Rpc:
    """A connection for a few calls; not for several threads at once.

    ``timeout``: seconds until an answer; supervisord answers a stop only when the process is gone.
    """

    def __init__(self, socket_path: Path, timeout: float) -> None:
        self.path = socket_path
        self.timeout = timeout
        self.transport = _Transport(socket_path, timeout)
        self.proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.transport.close()

    def call(self, method: str, *arguments: str | bool) -> object:
        """Raises xmlrpc.client.Fault for what supervisord refuses, SupervisorAbsent, ServiceManagerUnreachable."""
        try:
            return getattr(self.proxy.supervisor, method)(*arguments)
        except TimeoutError as error:
            raise ServiceManagerUnreachable(str(self.path), f"no answer within {self.timeout:.0f} s") from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in NOT_THERE:
                raise SupervisorAbsent(str(self.path), reason) from error
            raise ServiceManagerUnreachable(str(self.path), reason) from error
        except (http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise ServiceManagerUnreachable(str(self.path), f"it answered strangely: {error!r}") from error
