"""No cache server: one process per instance, which remembers by itself."""

from __future__ import annotations

from collections.abc import Collection


class NoCache:
    """The embedded host."""

    def admit(self, instance_id: str, password: str) -> None:
        pass

    def dismiss(self, instance_id: str) -> None:
        pass

    def admitted(self) -> Collection[str]:
        return ()

    def access(self, instance_id: str, password: str) -> None:
        return None
