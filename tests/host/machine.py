"""A booted Debian machine for tests, and what one does with it: run, read, ask over HTTP, reboot."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("booted-host")
CLONE_NEWNET = 0x40000000


class Failed(AssertionError):
    """A command in the machine ended with another exit code than 0; the text has all that it printed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    output: str


class Machine:
    """One booted host. ``binds``: "SRC:DST" of directories that it sees live."""

    def __init__(self, name: str, directory: Path, binds: Sequence[str] = ()) -> None:
        self.name = name
        self.directory = directory
        self.environment = {
            **os.environ,
            "HOST_NAME": name,
            "HOST_DIR": str(directory),
            "HOST_BINDS": " ".join(binds),
            "HOST_TIMEOUT": "300",
        }

    def up(self) -> None:
        self._booted_host("up", timeout=400)

    def off(self) -> None:
        """Power off; what is on its disk stays."""
        self._booted_host("off", timeout=600)

    def cut(self) -> None:
        """As when the power fails: no process is told, none writes anything any more."""
        self._booted_host("cut", timeout=300)

    def reboot(self) -> None:
        self.off()
        self.up()

    def down(self) -> None:
        self._booted_host("down", timeout=600)

    def _booted_host(self, action: str, timeout: float) -> None:
        done = subprocess.run(
            [PROGRAM, action], env=self.environment, timeout=timeout, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"booted-host {action}: {done.stdout}{done.stderr}")

    def run(
        self, *argv: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> Ran:
        """Run a command as root, whatever comes of it."""
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        done = subprocess.run(
            [PROGRAM, "exec", *(["env", *variables] if variables else []), *argv],
            env=self.environment,
            input=stdin,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return Ran(done.returncode, done.stdout)

    def popen(self, *argv: str | Path) -> subprocess.Popen[str]:
        """Begin a command as root, with its standard input and output."""
        return subprocess.Popen(
            [PROGRAM, "exec", *argv], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, *argv: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, timeout: float = 300) -> str:
        """Run a command as root and give what it printed. Raises Failed."""
        ran = self.run(*argv, stdin=stdin, env=env, timeout=timeout)
        if ran.code:
            raise Failed(f"{' '.join(str(part) for part in argv)} ended with {ran.code}:\n{ran.output}")
        return ran.output

    def as_user(self, user: str, *argv: str | Path, timeout: float = 300) -> Ran:
        """Run a command as another user, with nothing of root's."""
        prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--inh-caps=-all"]
        return self.run(*prefix, "env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", *argv, timeout=timeout)

    def read(self, path: str | Path) -> str:
        return self.do("cat", path)

    def journal(self, unit: str, lines: int = 40) -> str:
        # What was said before is in it then, see journalctl(1).
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-u", unit, "-n", str(lines), "-o", "cat", "--no-pager").output

    def connect(self, port: int) -> socket.socket:
        """A TCP connection to a loopback port of the machine, from outside of it (network_namespaces(7))."""
        made: list[socket.socket | OSError] = []

        def enter() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.name}", "rb") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    made.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                made.append(socket.create_connection(("127.0.0.1", port), timeout=120))
            except OSError as error:
                made.append(error)

        # A thread of its own: setns(2) moves the calling thread only, and this one ends.
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """Somebody who asks a machine's nginx for ``host``, with cookies."""

    machine: Machine
    host: str
    tls: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    def open(self) -> http.client.HTTPConnection:
        """A connection; its certificate is not checked, since it is the machine's own."""
        sock: socket.socket = self.machine.connect(443 if self.tls else 80)
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock, server_hostname=self.host)
        connection = http.client.HTTPConnection(self.host, timeout=120)
        connection.sock = sock
        return connection

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.open()
        sent = {"Host": self.host, **self.headers, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value.strip()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, content: Any, headers: Mapping[str, str] | None = None, method: str = "POST") -> Answer:
        """Send JSON."""
        return self.ask(
            method, path, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )
