"""Filing operations: the one door through which admin, API, commands and the system ask for something.

Filing checks that it makes sense, writes the row and what is wanted from now on, and sends the task
after the commit. If the message is lost, the periodic look finds the row (see ``looks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from deployers.states import UnitState
from instances import messages, states
from instances.choices import Desired, OperationKind, Origin, Preparation
from instances.errors import AlreadyInstalled, InstanceRemoved, NotInstalled, OperationRunning, VersionRefused
from instances.models import Host, Instance, Operation, Version
from instances.placement import check_host_supports, choose_host

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and by which way."""

    via: Origin = Origin.SYSTEM
    user: User | None = None


SYSTEM = Request()


def create(instance: Instance, request: Request) -> Operation:
    """Save the instance (with a host, if it has none yet) and file its creation; also to try again after a failure.

    Raises OperationRunning, AlreadyInstalled, InstanceRemoved, VersionRefused, Unsupported, NoHost; ValidationError
    where somebody else took the slug in this very moment. Then nothing is saved.
    """
    with transaction.atomic():
        if instance.installed_at is not None:
            raise AlreadyInstalled(instance)
        _refuse_removed(instance)
        if instance.host_id is None:
            instance.host = choose_host()
        _refuse_unusable(instance.version)
        check_host_supports(instance.host, db=instance.db, mode=instance.mode, version=instance.version)
        try:
            with transaction.atomic():
                instance.desired_state = Desired.ACTIVE
                instance.save()
        except IntegrityError:
            # Checked before, so only a race ends here; the validation finds the words for it.
            instance.validate_constraints()
            raise
        return _file(
            OperationKind.CREATE,
            instance,
            request,
            desired=Desired.ACTIVE,
            waits_for=_preparation(instance.version, instance.host, request),
        )


def start(instance: Instance, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved."""
    _refuse_not_installed(instance)
    return _file(OperationKind.START, instance, request, desired=Desired.ACTIVE)


def run_as_set(instance: Instance, request: Request) -> Operation | None:
    """After a change of how it runs (always on, idle time, processes): let that count now, if it runs at all.

    Raises OperationRunning.
    """
    if not instance.is_installed or instance.removed_at is not None or instance.desired_state != Desired.ACTIVE:
        return None
    return start(instance, request)


def stop(instance: Instance, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved."""
    _refuse_not_installed(instance)
    return _file(OperationKind.STOP, instance, request, desired=Desired.STOPPED)


def update(instance: Instance, version: Version, request: Request) -> Operation:
    """Raises OperationRunning, NotInstalled, InstanceRemoved, VersionRefused."""
    _refuse_not_installed(instance)
    if version == instance.version:
        raise VersionRefused(version, _("The instance has this version already."))
    if version.release < instance.version.release:
        raise VersionRefused(
            version,
            _("OpenSlides cannot take a database back from %(old)s to %(new)s. Choose a newer version.")
            % {"old": instance.version.name, "new": version.name},
        )
    _refuse_unusable(version)
    check_host_supports(instance.host, db=instance.db, mode=instance.mode, version=version)
    with transaction.atomic():
        return _file(
            OperationKind.UPDATE,
            instance,
            request,
            version=version,
            waits_for=_preparation(version, instance.host, request),
        )


def remove(instance: Instance, request: Request) -> Operation:
    """Raises OperationRunning, InstanceRemoved. An instance whose creation failed may be removed, too."""
    _refuse_removed(instance)
    return _file(OperationKind.REMOVE, instance, request, desired=Desired.REMOVED)


def send_test_mail(instance: Instance, recipient: str, request: Request) -> Operation:
    """Let the instance send a mail the way OpenSlides does. Raises OperationRunning, NotInstalled, InstanceRemoved."""
    _refuse_not_installed(instance)
    return _file(OperationKind.MAIL, instance, request, recipient=recipient)


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


def discard(version: Version) -> None:
    """Let every host take away what was prepared for a version whose row is gone, or has another image now.

    Not while another version has the image.
    """
    if not Version.objects.filter(image=version.image).exists():
        for host in Host.objects.all():
            messages.discard(version, host)


def _file(
    kind: OperationKind,
    instance: Instance,
    request: Request,
    *,
    desired: Desired | None = None,
    version: Version | None = None,
    waits_for: Operation | None = None,
    recipient: str = "",
) -> Operation:
    with transaction.atomic():
        try:
            with transaction.atomic():
                operation = Operation.objects.create(
                    kind=kind,
                    instance=instance,
                    version=version,
                    host=instance.host,
                    waits_for=waits_for,
                    recipient=recipient,
                    requested_by=request.user,
                    requested_via=request.via,
                )
        except IntegrityError:
            running = Operation.objects.unfinished().filter(instance=instance).first()
            if running is None:
                raise
            raise OperationRunning(running) from None
        if desired is not None:
            instance.desired_state = desired
        if kind in (OperationKind.CREATE, OperationKind.START, OperationKind.UPDATE, OperationKind.REMOVE):
            instance.observed_state = states.observed(instance.facts(kind), UnitState.STOPPED)
        instance.save(update_fields=["desired_state", "observed_state"])
        if waits_for is None:
            messages.run(operation)
        return operation


def _preparation(version: Version, host: Host, request: Request) -> Operation | None:
    """What must end before the version can be used: its preparation, filed now if nobody did; None if it is ready."""
    version.refresh_from_db(fields=["preparation"])
    if version.preparation == Preparation.PREPARED:
        return None
    try:
        return prepare(version, request, host)
    except OperationRunning as refused:
        return refused.running


def _refuse_removed(instance: Instance) -> None:
    if instance.removed_at is not None:
        raise InstanceRemoved(instance)


def _refuse_not_installed(instance: Instance) -> None:
    _refuse_removed(instance)
    if not instance.is_installed:
        running = instance.unfinished_operation
        if running is not None:
            raise OperationRunning(running)
        raise NotInstalled(instance)


def _refuse_unusable(version: Version) -> None:
    if not version.enabled:
        raise VersionRefused(version, _("This version is not enabled. Enable it, or choose another."))
