"""The admin pages. Django imports this package at its start, and importing a module registers its pages."""

from __future__ import annotations

from instances.admin import (
    accounts,
    backups,
    domains,
    hosts,
    instance,
    locks,
    log,
    logos,
    operations,
    orphans,
    rollouts,
    tokens,
    versions,
)

__all__ = [
    "accounts",
    "backups",
    "domains",
    "hosts",
    "instance",
    "locks",
    "log",
    "logos",
    "operations",
    "orphans",
    "rollouts",
    "tokens",
    "versions",
]
