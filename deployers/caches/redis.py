"""Cache server ``redis``: an ACL user per instance, which can touch the keys and channels with its prefix only.

Source: redis.io, "ACL". A rule ``#HASH`` is the SHA-256 of the password, so the password itself is not sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
        with self._client() as client:
            client.acl_setuser(
                user,
                enabled=True,
                reset=True,
                hashed_passwords=[f"+{digest}"],
                keys=[f"{user}:*"],
                channels=[f"{user}:*"],
                categories=["+@all", "-@admin", "-@dangerous"],
            )
            client.acl_save()

    def dismiss(self, instance_id: str) -> None:
        user = name(instance_id)
        with self._client() as client:
            if client.acl_deluser(user):
                client.acl_save()
            cursor = 0
            while True:
                cursor, keys = client.scan(cursor, match=f"{user}:*", count=KEYS_AT_ONCE)
                if keys:
                    client.unlink(*keys)
                if cursor == 0:
                    return

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


def name(instance_id: str) -> str:
    """The instance's ACL user; its keys begin with this and a colon."""
    return f"openslides-{checked_id(instance_id)}"
