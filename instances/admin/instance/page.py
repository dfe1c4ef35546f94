"""What the head of an instance's page shows, and which of its buttons make sense now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.utils import timezone

from instances import operations
from instances.admin.backup_badges import BackupSection, section_of
from instances.admin.badges import Badge, ago, instance_badge
from instances.admin.progress import Card, card_of, with_steps
from instances.choices import Desired, OperationKind, Outcome, State
from instances.errors import Unsupported
from instances.models import ActionLock, Instance, Operation, Version
from instances.placement import check_host_supports

STOPPED = (State.STOPPED, State.ERROR, State.UPDATE_FAILED)

TRIED = {
    Desired.ACTIVE: OperationKind.START,
    Desired.STOPPED: OperationKind.STOP,
    Desired.REMOVED: OperationKind.REMOVE,
}


@dataclass(frozen=True, slots=True)
class Buttons:
    """What may be asked for now, by this user, with an instance in this state."""

    create: bool = False
    start: bool = False
    stop: bool = False
    update: bool = False
    mail: bool = False
    remove: bool = False
    forget: bool = False
    try_again: bool = False
    later: bool = False

    @property
    def any(self) -> bool:
        """Whether there is one in the row of buttons; that to try again stands elsewhere."""
        row = (self.create, self.start, self.stop, self.update, self.mail, self.later, self.remove, self.forget)
        return any(row)


@dataclass(frozen=True, slots=True)
class Postponed:
    """What begins later. ``is_due``: its time has come, and something else runs."""

    operation: Operation
    is_due: bool
    may_begin: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The part of the page that brings itself up to date. ``page_key``: changes when the rest is outdated."""

    instance: Instance
    badge: Badge
    buttons: Buttons
    card: Card | None
    created: str
    since: str
    used: str
    page_key: str
    backups: BackupSection | None = None
    locks: tuple[ActionLock, ...] = ()
    next_try: datetime | None = None
    postponed: tuple[Postponed, ...] = ()

    @property
    def locked(self) -> dict[str, ActionLock]:
        """The locks by their action."""
        return {lock.action: lock for lock in self.locks}

    @property
    def lock_of_try(self) -> ActionLock | None:
        """What keeps one from trying again."""
        return self.locked.get(TRIED[Desired(self.instance.desired_state)])

    @property
    def busy(self) -> bool:
        return self.badge["busy"]


def is_editable(instance: Instance | None) -> bool:
    """Whether OpenSlides was not created with the row's values yet, and is not being created.

    Reads ``operation_kind`` (``with_operation``).
    """
    if instance is None:
        return True
    unfinished = getattr(instance, "operation_kind", None)
    return not instance.is_installed and instance.removed_at is None and unfinished is None


def newer_versions(instance: Instance) -> list[Version]:
    """The versions that the instance can be updated to, the newest first; one query."""
    found = []
    for version in Version.objects.filter(enabled=True).exclude(pk=instance.version_id):
        if version.release < instance.version.release:
            continue
        try:
            check_host_supports(instance.host, db=instance.db, mode=instance.mode, version=version)
        except Unsupported:
            continue
        found.append(version)
    return sorted(found, key=lambda version: version.release, reverse=True)


def buttons_for(instance: Instance, user: User | AnonymousUser) -> Buttons:
    """Reads ``operation_kind``; one query when the instance may be updated."""
    may_change, may_remove = user.has_perm("instances.change_instance"), user.has_perm("instances.delete_instance")
    if getattr(instance, "operation_kind", None) is not None:
        return Buttons()
    if instance.removed_at is not None:
        return Buttons(forget=may_remove)
    waits = bool(instance.attention) or next_try(instance) is not None
    may_try = waits and user.has_perm(operations.permission_to_try_again(instance))
    if not instance.is_installed:
        return Buttons(create=may_change, remove=may_remove, try_again=may_try)
    return Buttons(
        start=may_change and (instance.desired_state != Desired.ACTIVE or instance.observed_state in STOPPED),
        stop=may_change and instance.desired_state == Desired.ACTIVE,
        update=may_change and bool(newer_versions(instance)),
        mail=may_change,
        remove=may_remove,
        try_again=may_try,
        later=may_change or user.has_perm("instances.add_backup"),
    )


def next_try(instance: Instance) -> datetime | None:
    """When the system tries again to bring an instance where it is wanted; None if it need not, or has given up."""
    due = instance.retry_at
    if due is None or due <= timezone.now() or instance.attention or instance.observed_state not in STOPPED:
        return None
    return due if instance.desired_state != Desired.STOPPED else None


def head_of(instance: Instance, request: HttpRequest) -> Head:
    """``instance`` was read ``with_operation``; eight queries."""
    last = with_steps(instance.operations.exclude(status=Outcome.POSTPONED)).order_by("-id").first()
    later = instance.operations.filter(status=Outcome.POSTPONED).select_related("version").order_by("not_before", "id")
    return Head(
        instance=instance,
        badge=instance_badge(instance),
        buttons=buttons_for(instance, request.user),
        card=card_of(last, request),
        created=ago(instance.created_at),
        since=ago(instance.state_since) if instance.state_since else "",
        used=ago(instance.last_used_at) if instance.last_used_at else "",
        page_key=_page_key(instance),
        backups=section_of(instance, request.user),
        locks=tuple(instance.locks.all()),
        next_try=next_try(instance),
        postponed=tuple(Postponed(one, _is_due(one), _may_begin(one, instance, request.user)) for one in later),
    )


def _is_due(operation: Operation) -> bool:
    return operation.not_before is None or operation.not_before <= timezone.now()


def _may_begin(operation: Operation, instance: Instance, user: User | AnonymousUser) -> bool:
    """Reads ``operation_kind``."""
    idle = getattr(instance, "operation_kind", None) is None
    return idle and user.has_perms(["instances.change_instance", operations.permission_to_begin(operation)])


def _page_key(instance: Instance) -> Any:
    stage = "removed" if instance.removed_at else "open" if is_editable(instance) else "created"
    return f"{stage}-{instance.version_id}"
