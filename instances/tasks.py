"""What goes over the broker: numbers of rows, never objects. The rows say what is to be done."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from deployers.spec import VersionSpec
from instances import looks, messages, runner
from instances.deployment import deployer_for
from instances.models import Host


@shared_task(name=messages.RUN_OPERATION)
def run_operation(operation_id: int) -> None:
    """Run one operation; harmless when it comes twice."""
    runner.run(operation_id)


@shared_task(name=messages.LOOK_AFTER_HOSTS)
def look_after_hosts() -> None:
    """Send each host's worker its periodic look. One that cannot begin before the next is due is dropped."""
    for host in Host.objects.all():
        look_after_host.apply_async((host.pk,), queue=host.queue, expires=settings.REFRESH_SECONDS)


@shared_task(name="instances.look_after_host")
def look_after_host(host_id: int) -> None:
    """Read the states of one host's instances, and bring host and rows together. Runs on that host."""
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        looks.look_after(host)


@shared_task(name=messages.DISCARD_VERSION)
def discard_version(host_kind: str, name: str, image: str, engine: str) -> None:
    """Take what was prepared for a version off the host, after its row was deleted."""
    for step in deployer_for(host_kind).discard(VersionSpec(name=name, image=image, engine=engine)):
        step.do(lambda text: None)
