"""From an operation's row to the plan that its host's deployer makes of it."""

from __future__ import annotations

from deployers.backups.store import Archive
from deployers.deployer import Deployer
from deployers.errors import DeployError
from deployers.plan import Log, Plan, Step
from instances.archives import store
from instances.choices import Desired, OperationKind, Origin
from instances.deployment import UnsupportedHost, deployer_for
from instances.errors import OperationRefused
from instances.models import Backup, Instance, Operation
from instances.placement import ensure_port


class NoPlan(Exception):
    """No plan can be made; the text is for the operator."""


def archive_of(backup: Backup) -> Archive:
    """The backup's archive, in the store that the settings name."""
    return Archive(store(), backup.name)


def plan_of(operation: Operation, instance: Instance | None) -> Plan:
    """Raises NoPlan."""
    try:
        deployer = deployer_for(operation.host.kind)
        if instance is None:
            return _plan_without_instance(operation, deployer)
        if operation.kind in (
            OperationKind.CREATE,
            OperationKind.START,
            OperationKind.UPDATE,
            OperationKind.RESTORE,
        ):
            ensure_port(instance, deployer)
        return _plan(operation, instance, deployer)
    except (DeployError, OperationRefused, UnsupportedHost) as error:
        raise NoPlan(str(error)) from error


def _plan_without_instance(operation: Operation, deployer: Deployer) -> Plan:
    assert operation.version is not None
    if operation.kind == OperationKind.PREPARE:
        return deployer.prepare(operation.version.spec())
    if operation.backup is None:
        raise NoPlan("The backup was deleted meanwhile.")
    return deployer.verify(operation.version.spec(), operation.backup.db, archive_of(operation.backup))


def _plan(operation: Operation, instance: Instance, deployer: Deployer) -> Plan:
    spec, token = instance.spec(), str(operation.pk)
    running = instance.desired_state == Desired.ACTIVE
    backup = archive_of(operation.backup) if operation.backup else None
    safety = archive_of(operation.safety_backup) if operation.safety_backup else None
    match OperationKind(operation.kind):
        case OperationKind.CREATE:
            # Without the backup it would be an empty event under the name of somebody's data.
            return deployer.create(spec, _needed(backup) if operation.from_backup else None)
        case OperationKind.START:
            # What comes back after a reboot need not be awake: its first visitor wakes it.
            return deployer.start(spec, wake=operation.requested_via != Origin.SYSTEM)
        case OperationKind.STOP:
            return deployer.stop(spec)
        case OperationKind.REMOVE:
            return deployer.remove(spec, safety)
        case OperationKind.PURGE:
            return (*deployer.remove(spec), _delete_archives(instance))
        case OperationKind.MAIL:
            return deployer.send_test_mail(spec, operation.recipient)
        case OperationKind.BACKUP:
            return deployer.backup(spec, _needed(backup))
        case OperationKind.RESTORE:
            assert operation.version is not None
            before = _once(deployer.backup(spec, safety), safety) if safety else ()
            target = operation.version.spec()
            return (*before, *deployer.restore(spec, target, token, _needed(backup), running=running))
        case _:
            assert operation.version is not None
            return deployer.update(spec, operation.version.spec(), token, _needed(safety), running=running)


def _needed(archive: Archive | None) -> Archive:
    """Raises NoPlan."""
    if archive is None:
        raise NoPlan("Its backup was deleted meanwhile. Ask for the operation again.")
    return archive


def _once(plan: Plan, archive: Archive) -> Plan:
    """The plan of a backup that is not made again when it is there: run again, it would hold what replaced the data."""

    def unless_there(step: Step) -> Step:
        def do(log: Log) -> None:
            if archive.store.facts(archive.name) is None:
                step.do(log)
            else:
                log("Backed up already.\n")

        return Step(step.name, do, seconds=step.seconds)

    return tuple(unless_there(step) for step in plan)


def _delete_archives(instance: Instance) -> Step:
    def delete(log: Log) -> None:
        archives = store()
        for name in instance.backups.values_list("name", flat=True):
            # First of all nobody is offered it any more. What is left by a failure here is settled like a deletion.
            instance.backups.filter(name=name).update(completed_at=None)
            archives.delete(name)
            log(f"{name} is deleted.\n")

    return Step("delete the backups", delete, final=True)
