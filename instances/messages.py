"""The messages to the workers, by the names of their tasks; what the tasks do is in ``tasks.py``.

They are sent after the commit of the current transaction. A broker that is down is no reason to fail: the rows are
there, and the periodic look sends what was lost.
"""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.db import transaction

from deployers.spec import DomainSpec
from instances.models import Domain, Host, Operation, Version

RUN_OPERATION = "instances.run_operation"
LOOK_AFTER_HOSTS = "instances.look_after_hosts"
LOOK_AFTER_BACKUPS = "instances.look_after_backups"
ADVANCE_ROLLOUTS = "instances.advance_rollouts"
DISCARD_VERSION = "instances.discard_version"
OPEN_DOMAIN = "instances.open_domain"
CLOSE_DOMAIN = "instances.close_domain"
REMOVE_ORPHANS = "instances.remove_orphans"


def run(operation: Operation) -> None:
    """Let the operation's host run it."""
    _send(RUN_OPERATION, (operation.pk,), operation.host.queue)


def look_after_hosts() -> None:
    """Let every host be looked after now."""
    _send(LOOK_AFTER_HOSTS, (), None)


def advance_rollouts() -> None:
    """Let the updates of many go on now."""
    _send(ADVANCE_ROLLOUTS, (), None)


def discard(version: Version, host: Host) -> None:
    """Let the host take away what was prepared for a version whose row may be gone by then."""
    _send(DISCARD_VERSION, (host.kind, version.name, version.image, version.engine), host.queue)


def open_domain(domain: Domain, host: Host) -> None:
    """Let the host serve the domain as it is now."""
    _send(OPEN_DOMAIN, (host.kind, domain.pk), host.queue)


def close_domain(domain: DomainSpec, host: Host) -> None:
    """Let the host serve a domain no more, whose row is gone by then."""
    _send(CLOSE_DOMAIN, (host.kind, domain.id, domain.name), host.queue)


def remove_orphans(host: Host) -> None:
    """Let the host remove the orphans whose removal was asked for."""
    _send(REMOVE_ORPHANS, (host.pk,), host.queue)


def _send(task: str, arguments: tuple[Any, ...], queue: str | None) -> None:
    transaction.on_commit(lambda: current_app.send_task(task, arguments, queue=queue), robust=True)
