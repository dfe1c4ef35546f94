"""What goes over the broker: numbers of rows, never objects. The rows say what is to be done."""

from __future__ import annotations

import logging
from contextlib import suppress

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from deployers.errors import DeployError
from deployers.spec import DomainSpec, VersionSpec
from instances import audit, backups, history, looks, messages, orphans, rollouts, runner, tokens, turns
from instances.deployment import UnsupportedHost, deployer_for
from instances.models import Domain, Host

logger = logging.getLogger(__name__)


@shared_task(name=messages.RUN_OPERATION)
def run_operation(operation_id: int) -> None:
    """Run one operation; harmless when it comes twice."""
    runner.run(operation_id)


@shared_task(name=messages.LOOK_AFTER_HOSTS)
def look_after_hosts() -> None:
    """Send each host's worker its periodic look."""
    for host in Host.objects.all():
        look_after_host.apply_async((host.pk,), queue=host.queue, expires=settings.LOOK_EXPIRES_SECONDS)


@shared_task(name="instances.look_after_host")
def look_after_host(host_id: int) -> None:
    """Read the states of one host's instances, and bring host and rows together. Runs on that host.

    One that comes while another is under way does nothing: under load more of them come than can be.
    """
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        with suppress(turns.NotOurTurn), turns.turn(f"look after host {host_id}"):
            looks.look_after(host)


@shared_task(name="instances.look_for_orphans")
def look_for_orphans() -> None:
    """Let each host look for what belongs to no instance."""
    for host in Host.objects.all():
        list_orphans.apply_async((host.pk,), queue=host.queue, expires=settings.ORPHAN_SECONDS)


@shared_task(name="instances.list_orphans")
def list_orphans(host_id: int) -> None:
    """Bring one host's list of orphans up to date, and remove what is due. Runs on that host."""
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        _look_for_orphans(host)
        orphans.remove_due(host)


def _look_for_orphans(host: Host) -> None:
    try:
        orphans.look_for(host)
    except (DeployError, OSError, UnsupportedHost) as error:
        logger.warning("Host %s: orphans cannot be looked for: %s", host, error)


@shared_task(name="instances.forget_what_is_old")
def forget_what_is_old() -> None:
    """Once a day: the log and the history of states, as long as the settings say; expired API tokens."""
    audit.prune()
    history.prune()
    tokens.prune()


@shared_task(name=messages.REMOVE_ORPHANS)
def remove_orphans(host_id: int) -> None:
    """Remove what somebody asked for, and what went with it from the list. Runs on the host."""
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        orphans.remove_due(host)
        _look_for_orphans(host)


@shared_task(name=messages.LOOK_AFTER_BACKUPS)
def look_after_backups() -> None:
    """Make, verify and delete the backups that are due."""
    backups.look_after(timezone.now())


@shared_task(name=messages.ADVANCE_ROLLOUTS)
def advance_rollouts() -> None:
    """Let the updates of many go on; harmless when two do it at once."""
    rollouts.advance()


@shared_task(name=messages.DISCARD_VERSION)
def discard_version(host_kind: str, name: str, image: str, engine: str) -> None:
    """Take what was prepared for a version off the host, after its row was deleted."""
    for step in deployer_for(host_kind).discard(VersionSpec(name=name, image=image, engine=engine)):
        step.do(lambda text: None)


@shared_task(name=messages.OPEN_DOMAIN)
def open_domain(host_kind: str, domain_id: int) -> None:
    """Serve a domain as its row says; what keeps the host from it is written into the row."""
    domain = Domain.objects.filter(pk=domain_id).first()
    if domain is None:
        return
    try:
        deployer_for(host_kind).open_domain(domain.spec())
        problem = ""
    except (DeployError, UnsupportedHost) as error:
        problem = str(error)
        logger.warning("Domain %s: %s", domain, error)
    Domain.objects.filter(pk=domain_id).update(problem=problem)


@shared_task(name=messages.CLOSE_DOMAIN)
def close_domain(host_kind: str, domain_id: int, name: str) -> None:
    """Serve a domain no more, after its row was deleted."""
    deployer_for(host_kind).close_domain(DomainSpec(domain_id, name))
