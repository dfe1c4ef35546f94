"""Real servers, and instances of OpenSlides 2.3 and 3.3 that use them."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
import redis

from deployers.caches.redis import RedisServer
from deployers.databases.postgresql import ENGINE
from deployers.routers.address import UnixAddress
from tests.observing import wait_for
from tests.openslides.hosted import Instance, new_directory, python_of
from tests.postgresql import cluster
from tests.tools import require

PASSWORD = "the-control-plane-s"
ITS_PASSWORD = "the-instance-s"
Make = Callable[..., Instance]
Running = Callable[[str], Instance]


@dataclass(frozen=True)
class Redis:
    """A server with an ACL file, on a unix socket, and the control plane's account on it."""

    server: RedisServer
    control: redis.Redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    program = require("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="mi-redis-") as name:
        place = Path(name)
        digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
        (place / "users.acl").write_text(f"user default off\nuser openslides on #{digest} ~* &* +@all\n")
        argv = [program, "--port", "0", "--unixsocket", place / "redis.sock", "--aclfile", place / "users.acl"]
        process = subprocess.Popen([*argv, "--dir", place, "--save", ""], stdout=subprocess.DEVNULL)
        try:
            wait_for("redis listens", (place / "redis.sock").exists, 60)
            socket = str(place / "redis.sock")
            server = RedisServer(f"redis+socket://openslides:{PASSWORD}@{socket}")
            with redis.Redis(unix_socket_path=socket, username="openslides", password=PASSWORD) as control:
                yield Redis(server, control)
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The directory of the server's socket."""
    require("initdb", "postgresql")
    with cluster() as url:
        yield url.split(":5432/", 1)[1].removesuffix("/postgres")


def database(directory: str, name: str) -> dict[str, object]:
    return {"ENGINE": ENGINE, "NAME": name, "USER": "tests", "PASSWORD": "", "HOST": directory, "PORT": "5432"}


def statement(directory: str, text: str) -> None:
    connection = psycopg2.connect(host=directory, user="tests", dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(text)
    connection.close()


@pytest.fixture(scope="session")
def template(postgres: str) -> Callable[[str], str]:
    """The name of a database that a release has migrated."""
    made: dict[str, str] = {}

    def template(release: str) -> str:
        if release not in made:
            name = f"template_{release.replace('.', '_')}"
            statement(postgres, f"CREATE DATABASE {name}")
            place = new_directory()
            instance = Instance(release, place, python_of(release), database(postgres, name))
            instance.write_settings()
            instance.run(*instance.profile.migrate())
            shutil.rmtree(place)
            made[release] = name
        return made[release]

    return template


@contextmanager
def maker(redis_server: Redis, postgres: str, template: Callable[[str], str]) -> Iterator[Make]:
    """Makes instances, which do not run yet: ``make(release, workers)``. All are removed in the end."""
    made: list[tuple[Instance, str]] = []

    def make(release: str, workers: int = 1, mail_socket: Path | None = None) -> Instance:
        number = secrets.token_hex(16)
        statement(postgres, f"CREATE DATABASE openslides_{number} TEMPLATE {template(release)}")
        own = database(postgres, f"openslides_{number}")
        instance = Instance(release, new_directory(), python_of(release), own, mail_socket=mail_socket)
        made.append((instance, number))
        if instance.profile.needs_redis(UnixAddress(instance.socket), workers):
            redis_server.server.admit(number, ITS_PASSWORD)
            instance.redis = redis_server.server.access(number, ITS_PASSWORD)
        instance.write_settings()
        return instance

    try:
        yield make
    finally:
        for instance, number in made:
            instance.kill()
            redis_server.server.dismiss(number)
            statement(postgres, f"DROP DATABASE openslides_{number} WITH (FORCE)")
            shutil.rmtree(instance.directory)


@pytest.fixture
def make(redis_server: Redis, postgres: str, template: Callable[[str], str]) -> Iterator[Make]:
    with maker(redis_server, postgres, template) as make:
        yield make


@pytest.fixture(scope="session")
def running(redis_server: Redis, postgres: str, template: Callable[[str], str]) -> Iterator[Running]:
    """An instance of a release with three processes that answer, for all tests that leave it as it is."""
    started: dict[str, Instance] = {}
    with maker(redis_server, postgres, template) as make:

        def running(release: str) -> Instance:
            if release not in started:
                started[release] = make(release, 3)
                started[release].start(3)
            return started[release]

        yield running
