"""Operations on versions."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from instances import messages
from instances.choices import OperationKind, Outcome, Preparation
from instances.errors import OperationRunning
from instances.models import Host, Operation, Version
from instances.operations.filing import Request
from instances.placement import choose_host


def prepare(version: Version, request: Request, host: Host | None = None) -> Operation:
    """Prepare the version (again) on a host, by default on the one with the most room.

    Raises OperationRunning, NoHost.
    """
    host = host or choose_host()
    with transaction.atomic():
        try:
            with transaction.atomic():
                operation = Operation.objects.create(
                    kind=OperationKind.PREPARE,
                    version=version,
                    image=version.image,
                    host=host,
                    requested_by=request.user,
                    requested_via=request.via,
                )
        except IntegrityError:
            raise OperationRunning(
                Operation.objects.unfinished().get(kind=OperationKind.PREPARE, version=version, host=host)
            ) from None
        if version.preparation != Preparation.PREPARED:
            Version.objects.filter(pk=version.pk).update(preparation=Preparation.PREPARING)
            version.preparation = Preparation.PREPARING
        messages.run(operation)
        return operation


def preparation(version: Version, host: Host, request: Request) -> Operation | None:
    """What must end before the version can be used on the host: its preparation, filed now if nobody did.

    None if it is ready.
    """
    version.refresh_from_db(fields=["preparation", "image"])
    if version.preparation == Preparation.PREPARED and _is_prepared_on(host, version):
        return None
    try:
        return prepare(version, request, host)
    except OperationRunning as refused:
        return refused.running


def _is_prepared_on(host: Host, version: Version) -> bool:
    """Of a version that is prepared somewhere. Where nothing is on record of it, that word counts; one query."""
    prepared = Operation.objects.filter(
        kind=OperationKind.PREPARE, version=version, image=version.image, status=Outcome.SUCCEEDED
    )
    hosts = set(prepared.order_by().values_list("host_id", flat=True).distinct())
    return not hosts or host.pk in hosts


def discard(version: Version) -> None:
    """Let every host take away what was prepared for a version whose row is gone, or has another image now.

    Not while another version has the image.
    """
    if not Version.objects.filter(image=version.image).exists():
        Operation.objects.filter(kind=OperationKind.PREPARE, image=version.image).update(image="")
        for host in Host.objects.all():
            messages.discard(version, host)
