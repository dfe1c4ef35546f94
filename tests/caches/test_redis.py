"""An ACL user for each instance, on a real Redis."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deployers.caches.redis import RedisServer
from deployers.errors import CacheUnusable
from tests.observing import wait_for
from tests.tools import require

PASSWORD = "the-control-plane-s"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A server with an ACL file, on a unix socket."""
    program = require("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="mi-redis-") as name:
        place = Path(name)
        digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
        (place / "users.acl").write_text(f"user default off\nuser openslides on #{digest} ~* &* +@all\n")
        argv = [program, "--port", "0", "--unixsocket", place / "redis.sock", "--aclfile", place / "users.acl"]
        process = subprocess.Popen([*argv, "--dir", place, "--save", ""], stdout=subprocess.DEVNULL)
        try:
            wait_for("redis listens", lambda: (place / "redis.sock").exists(), 10)
            yield place
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def server(directory: Path) -> RedisServer:
    return RedisServer(f"redis+socket://openslides:{PASSWORD}@{directory}/redis.sock")


@pytest.fixture
def instance(server: RedisServer) -> Iterator[str]:
    number = secrets.token_hex(16)
    server.admit(number, "its-password")
    yield number
    server.dismiss(number)


def client(server: RedisServer, number: str, password: str = "its-password") -> redis.Redis:
    access = server.access(number, password)
    return redis.Redis(unix_socket_path=str(access.socket), username=access.username, password=access.password)


def test_an_instance_uses_its_own_keys_and_channels(server: RedisServer, instance: str) -> None:
    prefix = server.access(instance, "").prefix
    with client(server, instance) as own:
        own.set(f"{prefix}session", "x")
        assert own.get(f"{prefix}session") == b"x"
        assert own.publish(f"{prefix}group", "hello") == 0
        assert own.eval("return redis.call('get', KEYS[1])", 1, f"{prefix}session") == b"x"


def test_it_can_touch_no_other_key_and_no_other_channel(server: RedisServer, instance: str) -> None:
    with client(server, instance) as own:
        for refused in (
            lambda: own.get("another"),
            lambda: own.set(f"openslides-{'0' * 32}:x", "1"),
            lambda: own.publish("another", "x"),
            lambda: own.keys("*"),
            lambda: own.flushall(),
            lambda: own.execute_command("ACL", "LIST"),
            lambda: own.config_get("*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()


def test_a_wrong_password_is_refused(server: RedisServer, instance: str) -> None:
    with client(server, instance, "wrong") as own, pytest.raises(redis.AuthenticationError):
        own.ping()


def test_accounts_outlive_the_server(server: RedisServer, instance: str, directory: Path) -> None:
    kept = (directory / "users.acl").read_text()
    assert f"user openslides-{instance} on" in kept
    assert "its-password" not in kept


def test_nothing_of_a_dismissed_instance_is_left(server: RedisServer, directory: Path) -> None:
    number, other = secrets.token_hex(16), secrets.token_hex(16)
    for admitted in (number, other):
        server.admit(admitted, "its-password")
        with client(server, admitted) as own:
            prefix = server.access(admitted, "").prefix
            with own.pipeline() as batch:
                for count in range(2500):
                    batch.set(f"{prefix}{count}", "x")
                batch.execute()
    server.dismiss(number)
    server.dismiss(number)
    control = redis.Redis(unix_socket_path=str(server.socket), username="openslides", password=PASSWORD)
    assert control.keys(f"openslides-{number}*") == []
    assert len(control.keys(f"openslides-{other}*")) == 2500
    assert number not in (directory / "users.acl").read_text()
    server.dismiss(other)
    control.close()


def test_a_server_that_is_down_says_what_to_do_and_no_password() -> None:
    absent = RedisServer("redis+socket://openslides:the-secret@/nonexistent/redis.sock")
    with pytest.raises(CacheUnusable, match="systemctl status") as caught:
        absent.admit("0" * 32, "another-secret")
    assert "secret" not in str(caught.value)


def test_an_address_that_is_no_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="unix socket"):
        RedisServer("redis://127.0.0.1:6379/0")
