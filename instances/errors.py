"""Why an operation was refused. Each says what to do; each is 409 in the API unless it names a field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.text import capfirst
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from instances.models import ActionLock, Backup, Instance, Operation, Rollout, Version


class OperationRefused(Exception):
    """Nothing was changed and nothing was filed. ``field``: the model field to blame, where it is one."""

    code = "refused"
    field: str | None = None


class OperationRunning(OperationRefused):
    """The subject has an unfinished operation already."""

    code = "operation_running"

    def __init__(self, running: Operation) -> None:
        self.running = running
        super().__init__(
            _("Operation %(id)s (%(what)s) is not finished. Wait until it is, then ask again.")
            % {"id": running.pk, "what": running}
        )


class NotInstalled(OperationRefused):
    """The instance was never completely created."""

    code = "not_installed"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(_("%(instance)s is not installed. Create it (again) first.") % {"instance": instance})


class AlreadyInstalled(OperationRefused):
    """The instance was created before."""

    code = "already_installed"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(_("%(instance)s is installed already.") % {"instance": instance})


class InstanceRemoved(OperationRefused):
    """The instance is gone."""

    code = "removed"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(_("%(instance)s was removed.") % {"instance": instance})


class NotRemoved(OperationRefused):
    """The instance is there, so it cannot be brought back."""

    code = "not_removed"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(_("%(instance)s is not removed. Restore one of its backups instead.") % {"instance": instance})


class ActionLocked(OperationRefused):
    """Somebody has locked this action on this instance."""

    code = "action_locked"

    def __init__(self, lock: ActionLock) -> None:
        self.lock = lock
        super().__init__(
            _("%(action)s is locked on %(instance)s: %(reason)s. Unlock it first.")
            % {"action": capfirst(lock.get_action_display()), "instance": lock.instance, "reason": lock.reason}
        )


class AlreadyLocked(OperationRefused):
    """There is a lock on this action already, with its own reason."""

    code = "already_locked"

    def __init__(self, lock: ActionLock) -> None:
        self.lock = lock
        super().__init__(
            _("%(action)s is locked on %(instance)s already: %(reason)s. Delete that lock first.")
            % {"action": capfirst(lock.get_action_display()), "instance": lock.instance, "reason": lock.reason}
        )


class NothingToTry(OperationRefused):
    """The system has not tried in vain to bring the instance where it is wanted."""

    code = "nothing_to_try"

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        super().__init__(
            _("Nothing was tried in vain on %(instance)s, so there is nothing to try again.") % {"instance": instance}
        )


class AlreadyPostponed(OperationRefused):
    """The same was asked for already, for a later time."""

    code = "already_postponed"

    def __init__(self, postponed: Operation) -> None:
        self.postponed = postponed
        super().__init__(
            _("Operation %(id)s (%(what)s) is postponed already. Cancel it first.")
            % {"id": postponed.pk, "what": postponed}
        )


class NotPostponed(OperationRefused):
    """The operation has begun, or ended, so it cannot begin now."""

    code = "not_postponed"

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        super().__init__(
            _("Operation %(id)s (%(what)s) is not postponed any more.") % {"id": operation.pk, "what": operation}
        )


class CannotCancel(OperationRefused):
    """The operation has ended, or there is no way back from where it is."""

    code = "cannot_cancel"

    def __init__(self, operation: Operation, reason: str) -> None:
        self.operation = operation
        super().__init__(reason)


class BackupUnusable(OperationRefused):
    """The backup cannot be taken; ``reason`` says why. ``backup`` is None where there is none at all."""

    code = "backup_unusable"
    field: str | None = None

    def __init__(self, backup: Backup | None, reason: str) -> None:
        self.backup = backup
        self.reason = reason
        super().__init__(reason)


class BackupInUse(OperationRefused):
    """An operation makes the backup, or needs it."""

    code = "backup_in_use"

    def __init__(self, using: Operation) -> None:
        self.using = using
        super().__init__(
            _("Operation %(id)s (%(what)s) needs this backup. Wait until it has ended, or cancel it.")
            % {"id": using.pk, "what": using}
        )


class VersionRefused(OperationRefused):
    """The version cannot be taken; ``reason`` says why."""

    code = "version_refused"
    field = "version"

    def __init__(self, version: Version, reason: str) -> None:
        self.version = version
        self.reason = reason
        super().__init__(reason)


class Unsupported(OperationRefused):
    """The host has no such part (a database server, an engine). ``field``: where it was asked for."""

    code = "unsupported"

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(reason)


class NoHost(OperationRefused):
    """No host has room for another instance."""

    code = "no_host"

    def __init__(self) -> None:
        super().__init__(_("No host has room for another instance. Raise a host's capacity, or register another host."))


class NoPort(OperationRefused):
    """Every port of INSTANCE_PORTS is given out or used by other programs."""

    code = "no_port"

    def __init__(self, ports: range) -> None:
        self.ports = ports
        super().__init__(
            _("No port between %(first)s and %(last)s is free. Widen INSTANCE_PORTS, or remove instances.")
            % {"first": ports[0], "last": ports[-1]}
        )


class WavesRefused(OperationRefused):
    """The waves of an update of many make no sense; ``reason`` says how they are written."""

    code = "waves_refused"
    field = "waves"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NothingToUpdate(OperationRefused):
    """None of the chosen instances can be updated. ``reasons``: why not, for each that was chosen."""

    code = "nothing_to_update"
    field = "instances"

    def __init__(self, version: Version, reasons: list[str]) -> None:
        self.version = version
        self.reasons = reasons
        texts = {"version": version.name, "reason": reasons[0] if reasons else ""}
        if reasons:
            text = _("None of the chosen instances can be updated to %(version)s. One of the reasons: %(reason)s")
        else:
            text = _("There is no instance to update to %(version)s.")
        super().__init__(text % texts)


class RolloutRefused(OperationRefused):
    """The update of many has ended, or runs already; ``reason`` says which."""

    code = "rollout_refused"

    def __init__(self, rollout: Rollout, reason: str) -> None:
        self.rollout = rollout
        self.reason = reason
        super().__init__(reason)
