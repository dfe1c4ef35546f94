"""OpenSlides as it runs on a production host, but for the container: on unix sockets, with PostgreSQL and Redis."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deployers.engines.virtualenv import LOCKS
from deployers.openslides.profile import Profile, RedisAccess, Surroundings
from deployers.openslides.releases import profile_for
from deployers.production import INSIDE
from deployers.readiness import UnixConnection, not_ready_because
from deployers.routers.address import UnixAddress
from deployers.separation import InstanceUser, python_environment
from tests.deployers.host import VERSIONS, prepare, version
from tests.observing import processes_of, wait_for

CACHE = VERSIONS.parent / "hosted"


def python_of(release: str) -> Path:
    """The Python of a prepared version that has the packages of a production host too. Made once, and kept."""
    prepare(release)
    lock = LOCKS / f"hosted-{release.partition('.')[0]}.txt"
    origin = VERSIONS / version(release).directory_name
    digest = hashlib.sha256(lock.read_bytes() + (LOCKS / f"openslides-{release}.txt").read_bytes()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"{release}-{digest}"
    with (CACHE / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = CACHE / f"{made.name}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(origin / "venv", unfinished, symlinks=True)
            pip = [unfinished / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            options = ["--require-hashes", "--no-deps", "--no-build-isolation", "-r", lock]
            subprocess.run([*pip, *options], check=True)
            unfinished.rename(made)
    return made / "bin" / "python"


@dataclass
class Instance:
    """One OpenSlides. ``redis`` is None where it is to be a single process of 3.x."""

    release: str
    directory: Path
    python: Path
    database: dict[str, object]
    redis: RedisAccess | None = None
    mail_socket: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def profile(self) -> Profile:
        return profile_for(self.release)

    @property
    def socket(self) -> Path:
        return self.directory / "web.sock"

    @property
    def media(self) -> Path:
        return self.directory / "data" / "media"

    def write_settings(self) -> None:
        for made in (self.media, self.directory / "static"):
            made.mkdir(parents=True, exist_ok=True)
        surroundings = Surroundings(
            secret_key="k" * 50,
            database=self.database,
            data=self.directory / "data",
            media=self.media,
            static_root=self.directory / "collected",
            own_static=self.directory / "static",
            hosts=["assembly.example.org", "localhost"],
            time_zone="Europe/Berlin",
            cookie_suffix="_1",
            mail_host=None,
            mail_port=25,
            mail_socket=self.mail_socket,
            redis=self.redis,
            accelerated_media=True,
        )
        (self.directory / "settings.py").write_text(self.profile.settings(surroundings), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        user = InstanceUser(os.geteuid(), os.geteuid(), "nobody", python_path=(INSIDE,), sees=())
        return python_environment(self.directory, user, home=self.directory / "data")

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, *arguments: str) -> str:
        """A program of OpenSlides' Python, to its end."""
        argv = [self.python, *arguments]
        result = subprocess.run(argv, env=self.environment, cwd="/", capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def start(self, workers: int = 1) -> None:
        argv = [str(self.python), *self.profile.serve(UnixAddress(self.socket), workers)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.environment, cwd="/", stdout=log, stderr=log)
        try:
            wait_for(f"OpenSlides {self.release} answers", self._answers, every=0.02)
        except AssertionError:
            print(self.log)
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return not_ready_because(UnixAddress(self.socket), self.profile.version_path, self.release, 20) is None

    def stop(self) -> int:
        """The exit code. No process of it is left."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(120)
        self.process = None
        assert not self.processes()
        return code

    def kill(self) -> None:
        """Also what a failed test left."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        return processes_of(self.directory)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """A browser behind nginx: cookies, and what nginx adds to a request."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.cookies: dict[str, str] = {}
        self.apps = "/apps" if instance.profile.major == 3 else ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = UnixConnection(str(self.instance.socket), 120)
        try:
            connection.request(method, path, body, self.headers() | headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie") or []:
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            answer = Answer(response.status, response.headers, response.read())
            assert answer.status < 500, f"{method} {path}: {answer.status}\n{self.instance.log}"
            return answer
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, value: object) -> Answer:
        return self.ask("POST", path, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def put(self, path: str, value: object) -> Answer:
        return self.ask("PUT", path, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def headers(self) -> dict[str, str]:
        return {
            "Host": "assembly.example.org",
            "X-Forwarded-Proto": "https",
            "Referer": "https://assembly.example.org/",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "X-CSRFToken": self.cookies.get("OpenSlidesCsrfToken", ""),
        }

    def login(self, username: str = "admin", password: str = "admin") -> int:
        return self.post(f"{self.apps}/users/login/", {"username": username, "password": password}).status

    def who(self) -> int | None:
        return self.get(f"{self.apps}/users/whoami/").json()["user_id"] or None  # type: ignore[no-any-return]

    def add_user(self, username: str, email: str) -> int:
        """Its id."""
        user = {"username": username, "last_name": "Müller", "email": email, "groups_id": []}
        answer = self.post("/rest/users/user/", user)
        assert answer.status == 201, answer.body
        users = self.get("/rest/users/user/").json()
        return next(int(found["id"]) for found in users if found["username"] == username)

    def upload(self, name: str, content: bytes) -> str:
        """Through OpenSlides' form for files; the URL path at which the client looks for it."""
        boundary = secrets.token_hex(8)
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="title"\r\n\r\n{name}\r\n'.encode()]
        disposition = f'Content-Disposition: form-data; name="mediafile"; filename="{name}"'
        parts.append(f"--{boundary}\r\n{disposition}\r\nContent-Type: text/plain\r\n\r\n".encode() + content)
        body = b"".join(parts) + f"\r\n--{boundary}--\r\n".encode()
        content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = self.ask("POST", "/rest/mediafiles/mediafile/", body, **content_type)
        assert answer.status == 201, answer.body
        (file,) = self.get("/rest/mediafiles/mediafile/").json()
        found = file["path"] if self.instance.profile.major == 3 else file["mediafile"]["name"]
        return str(file["media_url_prefix"]) + quote(found)

    @contextmanager
    def websocket(self) -> Iterator[WebSocket]:
        path = "/ws/?autoupdate=on&change_id=0" if self.instance.profile.major == 3 else "/ws/site/"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(120)
            connection.connect(str(self.instance.socket))
            key = base64.b64encode(secrets.token_bytes(16)).decode()
            headers = self.headers() | {
                "Origin": "https://assembly.example.org",
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Key": key,
                "Sec-WebSocket-Version": "13",
            }
            lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            connection.sendall("\r\n".join(lines).encode())
            stream = WebSocket(self.instance, connection)
            assert b" 101 " in stream.line()
            while stream.line().strip():
                pass
            yield stream


class WebSocket:
    """RFC 6455, as much of it as a server's whole messages need."""

    def __init__(self, instance: Instance, connection: socket.socket) -> None:
        self.instance = instance
        self.file = connection.makefile("rb")

    def line(self) -> bytes:
        return self.file.readline()

    def message(self) -> str:
        """The next text; binary messages of OpenSlides 3 are packed by lz4, which its own Python unpacks."""
        while True:
            first, second = self.file.read(2)
            size = second & 127
            if size == 126:
                size = struct.unpack(">H", self.file.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.file.read(8))[0]
            content = self.file.read(size)
            if first & 15 == 1:
                return content.decode()
            if first & 15 == 2:
                unpack = "import sys, lz4.frame; sys.stdout.buffer.write(lz4.frame.decompress(sys.stdin.buffer.read()))"
                argv = [self.instance.python, "-c", unpack]
                return subprocess.run(argv, input=content, check=True, capture_output=True).stdout.decode()
            assert first & 15 == 9, f"{first:02x}: the server closed the WebSocket"


def new_directory() -> Path:
    """Short, because of the unix socket in it (unix(7): 107 bytes)."""
    return Path(tempfile.mkdtemp(prefix="mi-os-"))
