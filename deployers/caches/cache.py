"""The part of a deployer that knows the cache server."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from deployers.openslides.profile import RedisAccess


class CacheServer(Protocol):
    """Gives each instance an account that can touch its own keys only. Each method may be called again."""

    def admit(self, instance_id: str, password: str) -> None:
        """Make the instance's account, or set its password."""
        ...

    def dismiss(self, instance_id: str) -> None:
        """Take the account away, and the instance's keys."""
        ...

    def admitted(self) -> Collection[str]:
        """The ids of all instances that have an account, or keys without one. Raises CacheUnusable."""
        ...

    def access(self, instance_id: str, password: str) -> RedisAccess | None:
        """What the instance's settings must say; None where there is no cache server."""
        ...
