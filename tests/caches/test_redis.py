"""An ACL user for each instance, on a real Redis."""

from __future__ import annotations

import hashlib
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from deployers.caches.redis import RedisServer
from deployers.errors import CacheUnusable
from tests.observing import wait_for
from tests.tools import require

PASSWORD = "the-control-plane-s"


def users(place: Path) -> Path:
    return place / "acl" / "users.acl"


@contextmanager
def redis_in(place: Path) -> Iterator[None]:
    """A server with an ACL file, on a unix socket, which forgets its keys."""
    program = require("redis-server", "redis-server")
    socket = place / "redis.sock"
    argv: list[str | Path] = [program, "--port", "0", "--unixsocket", socket, "--aclfile", users(place)]
    argv += ["--dir", place, "--save", ""]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        wait_for("redis listens", socket.exists, 60)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def place_for_redis() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mi-redis-") as name:
        place = Path(name)
        users(place).parent.mkdir()
        digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
        users(place).write_text(f"user default off\nuser openslides on #{digest} ~* &* +@all\n")
        yield place


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with place_for_redis() as place, redis_in(place):
        yield place


def at(place: Path) -> RedisServer:
    return RedisServer(f"redis+socket://openslides:{PASSWORD}@{place}/redis.sock")


@pytest.fixture
def server(directory: Path) -> RedisServer:
    return at(directory)


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


@pytest.mark.parametrize(
    "command",
    [
        "GET another",
        f"SET openslides-{'0' * 32}:x 1",
        "PUBLISH another x",
        "SUBSCRIBE another",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "DBSIZE",
        "PUBSUB CHANNELS",
        "CLIENT TRACKING ON BCAST",
        "CLIENT LIST",
        "SELECT 1",
        "FLUSHALL",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "ACL LIST",
        "CONFIG GET *",
        "MONITOR",
    ],
)
def test_it_can_neither_touch_nor_list_what_is_others(server: RedisServer, instance: str, command: str) -> None:
    with client(server, instance) as own, pytest.raises(redis.exceptions.NoPermissionError):
        own.execute_command(*command.split())


def test_a_script_may_not_do_more_than_its_caller(server: RedisServer, instance: str) -> None:
    with client(server, instance) as own, pytest.raises(redis.ResponseError, match="can't run this command"):
        own.eval("return redis.call('scan', '0')", 0)


def test_a_wrong_password_is_refused(server: RedisServer, instance: str) -> None:
    with client(server, instance, "wrong") as own, pytest.raises(redis.AuthenticationError):
        own.ping()


def test_accounts_outlive_the_server_and_are_written_once() -> None:
    number = secrets.token_hex(16)
    with place_for_redis() as place:
        server = at(place)
        with redis_in(place):
            server.admit(number, "its-password")
            written = users(place).stat()
            server.admit(number, "its-password")
            assert users(place).stat() == written
        kept = users(place).read_text()
        assert f"user openslides-{number} on" in kept
        assert "its-password" not in kept
        assert "wanted" not in kept
        with redis_in(place):
            with client(server, number) as own:
                assert own.ping()
            server.admit(number, "its-password")
            assert users(place).stat() == written
            server.admit(number, "another")
            assert users(place).stat() != written
            with client(server, number) as own, pytest.raises(redis.AuthenticationError):
                own.ping()
            server.dismiss(number)
            written = users(place).stat()
            server.dismiss(number)
            assert users(place).stat() == written


def test_an_account_that_could_not_be_written_is_written_the_next_time() -> None:
    number = secrets.token_hex(16)
    with place_for_redis() as place, redis_in(place):
        server, away = at(place), place / "away"
        users(place).parent.rename(away)
        with pytest.raises(CacheUnusable, match="ACL"):
            server.admit(number, "its-password")
        away.rename(users(place).parent)
        server.admit(number, "its-password")
        assert f"user openslides-{number} on" in users(place).read_text()
        users(place).parent.rename(away)
        with pytest.raises(CacheUnusable, match="ACL"):
            server.dismiss(number)
        away.rename(users(place).parent)
        server.dismiss(number)
        assert number not in users(place).read_text()


ADMITS_AND_DISMISSES = """
import sys
from deployers.caches.redis import RedisServer
server = RedisServer(sys.stdin.readline().strip())
print("ready", flush=True)
while True:
    server.admit(sys.argv[1], "its-password")
    server.dismiss(sys.argv[1])
"""


def same_in_both(control: redis.Redis, directory: Path) -> set[str]:
    """The names of the accounts; none while the file has others than the server."""
    listed = {line.split()[1] for line in control.acl_list()}
    kept = {line.split()[1] for line in users(directory).read_text().splitlines()}
    return listed if listed == kept else set()


def test_who_is_killed_at_any_time_leaves_the_file_as_the_server_is(server: RedisServer, directory: Path) -> None:
    number = secrets.token_hex(16)
    control = redis.Redis(unix_socket_path=str(server.socket), username="openslides", password=PASSWORD)
    for round_ in range(20):
        argv = [sys.executable, "-c", ADMITS_AND_DISMISSES, number]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"redis+socket://openslides:{PASSWORD}@{directory}/redis.sock\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.003 * round_ + 0.001)
            process.send_signal(signal.SIGKILL)
        # The server may still be at the last command of the one that was killed.
        listed = wait_for("the file is as the server", lambda: same_in_both(control, directory), 60, 0.01)
        assert listed <= {"default", "openslides", f"openslides-{number}"}
    control.close()
    server.admit(number, "its-password")
    with client(server, number) as own:
        assert own.ping()
    server.dismiss(number)
    assert number not in users(directory).read_text()


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
    assert number not in users(directory).read_text()
    server.dismiss(other)
    control.close()


def test_accounts_of_instances_are_listed_and_no_others(server: RedisServer, instance: str) -> None:
    control = redis.Redis(unix_socket_path=str(server.socket), username="openslides", password=PASSWORD)
    others = ("openslides-" + "0" * 31, "openslides-" + "x" * 32, "somebody-" + "0" * 32)
    for other in others:
        control.acl_setuser(other, enabled=False)
    assert set(server.admitted()) == {instance}
    control.acl_deluser(*others)
    control.close()


def test_keys_that_outlive_their_account_are_listed_and_taken_away(server: RedisServer) -> None:
    """As after a crash, when what was removed last had not reached the disk."""
    number = "e" * 32
    control = redis.Redis(unix_socket_path=str(server.socket), username="openslides", password=PASSWORD)
    with control as admin:
        admin.set(f"openslides-{number}:full_data", "left")
        admin.set("openslides-something-else:x", "not ours")
        assert number in server.admitted()
        server.dismiss(number)
        assert number not in server.admitted()
        assert admin.get("openslides-something-else:x") == b"not ours"
        admin.delete("openslides-something-else:x")


def test_a_server_that_is_down_says_what_to_do_and_no_password() -> None:
    absent = RedisServer("redis+socket://openslides:the-secret@/nonexistent/redis.sock")
    with pytest.raises(CacheUnusable, match="systemctl status") as caught:
        absent.admit("0" * 32, "another-secret")
    assert "secret" not in str(caught.value)


def test_an_address_that_is_no_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="unix socket"):
        RedisServer("redis://127.0.0.1:6379/0")
