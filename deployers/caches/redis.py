"""Cache server ``redis``: an ACL user per instance, which can touch the keys and channels with its prefix only.

Source: redis.io, "ACL". A rule ``#HASH`` is the SHA-256 of the password, so the password itself is not sent. A change
and ACL SAVE are one transaction: no account is in force that is not in the file, and none in the file that is gone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from deployers.caches.cache import CacheServer
from deployers.errors import CacheUnusable
from deployers.layout import checked_id
from deployers.openslides.profile import RedisAccess

KEYS_AT_ONCE = 1000
TIMEOUT_SECONDS = 10.0
COMMANDS = (
    "+@all",
    "-@admin",
    "-@dangerous",
    # What names the keys and channels of others: a session's key is enough to be its user.
    "-scan",
    "-randomkey",
    "-pubsub",
    "-client|tracking",
    "-client|caching",
    # What others would notice.
    "-dbsize",
    "-function",
    "-script|flush",
    "-script|kill",
    "-script|debug",
    # Other databases of the server: keys are looked for, and removed, in the first one only.
    "-select",
    "-move",
    "-copy",
)
"""What an instance may do with its own keys. Commands with a ``|`` have been known since Redis 7."""


class RedisServer(CacheServer):
    """See the module. ``url``: ``redis+socket://USER:PASSWORD@/PATH``, an account that may make others."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "redis+socket" or not parts.path.startswith("/"):
            raise ValueError("Redis is reached by a unix socket: redis+socket://USER:PASSWORD@/PATH")
        self.socket = Path(unquote(parts.path))
        self.username = unquote(parts.username or "")
        self._password = unquote(parts.password or "")

    def admit(self, instance_id: str, password: str) -> None:
        user, digest = name(instance_id), hashlib.sha256(password.encode()).hexdigest()
        rules = ("reset", "on", f"#{digest}", f"~{user}:*", f"&{user}:*", *COMMANDS)
        with self._client() as client:
            # Redis words rules in its own way, so the account is compared with one that is made of them.
            wanted = f"{user}-wanted"
            _made, expected, found, _gone = _together(
                client,
                ("ACL", "SETUSER", wanted, *rules),
                ("ACL", "GETUSER", wanted),
                ("ACL", "GETUSER", user),
                ("ACL", "DELUSER", wanted),
            )
            if found != expected:
                _change(client, user, "ACL", "SETUSER", user, *rules)

    def dismiss(self, instance_id: str) -> None:
        user = name(instance_id)
        with self._client() as client:
            if client.acl_getuser(user) is not None:
                _change(client, user, "ACL", "DELUSER", user)
            cursor = 0
            while True:
                cursor, keys = client.scan(cursor, match=f"{user}:*", count=KEYS_AT_ONCE)
                if keys:
                    client.unlink(*keys)
                if cursor == 0:
                    return

    def admitted(self) -> Collection[str]:
        with self._client() as client:
            users = client.acl_users()
            keys = client.scan_iter(match=f"{PREFIX}*:*", count=KEYS_AT_ONCE)
            names = {*map(_text, users), *(_text(key).partition(":")[0] for key in keys)}
        matches = (OF_INSTANCE.fullmatch(one) for one in names)
        return {match[1] for match in matches if match is not None}

    def access(self, instance_id: str, password: str) -> RedisAccess:
        user = name(instance_id)
        return RedisAccess(self.socket, user, password, f"{user}:")

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        """Raises CacheUnusable for whatever goes wrong inside."""
        client = redis.Redis(
            unix_socket_path=str(self.socket),
            username=self.username or None,
            password=self._password or None,
            socket_timeout=TIMEOUT_SECONDS,
        )
        try:
            yield client
        except redis.RedisError as error:
            raise CacheUnusable(str(self.socket), str(error)) from error
        finally:
            client.close()


def _change(client: redis.Redis, user: str, *command: str) -> None:
    """Change an account, in the file as well."""
    try:
        _together(client, command, ("ACL", "SAVE"))
    except redis.ResponseError:
        # The file was not written, but Redis takes no command back. So that the next try finds something to change:
        client.acl_setuser(user, enabled=False)
        raise


def _together(client: redis.Redis, *commands: tuple[str, ...]) -> list[object]:
    """In one transaction. Raises what Redis refuses, without the command: it may hold a password's hash."""
    with client.pipeline(transaction=True) as batch:
        for command in commands:
            batch.execute_command(*command)  # type: ignore[no-untyped-call]
        answers: list[object] = batch.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            raise answer
    return answers


def _text(answer: str | bytes) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer


PREFIX = "openslides-"
OF_INSTANCE = re.compile(rf"{PREFIX}([0-9a-f]{{32}})(?:-wanted)?")


def name(instance_id: str) -> str:
    """The instance's ACL user; its keys begin with this and a colon."""
    return f"{PREFIX}{checked_id(instance_id)}"
