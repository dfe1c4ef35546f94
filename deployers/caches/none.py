"""No cache server: one process per instance, which remembers by itself."""

from __future__ import annotations


class NoCache:
    """The embedded host."""

    def admit(self, instance_id: str, password: str) -> None:
        pass

    def dismiss(self, instance_id: str) -> None:
        pass

    def access(self, instance_id: str, password: str) -> None:
        return None
