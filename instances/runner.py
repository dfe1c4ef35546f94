"""Runs an operation: makes the plan, runs its steps, records them, and undoes them when one fails."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from deployers.errors import DeployError, NotPrepared, ServiceManagerUnreachable
from deployers.plan import Plan
from deployers.states import UnitState
from instances import claims, messages, states, worker
from instances.choices import Desired, OperationKind, Origin, Outcome, Preparation, State, StepStatus
from instances.deployment import UnsupportedHost, deployer_for
from instances.errors import OperationRefused
from instances.fields import CannotDecrypt
from instances.models import Instance, Operation, Version
from instances.placement import ensure_port
from instances.recorder import Recorder

logger = logging.getLogger(__name__)


class StepFailed(Exception):
    """A step, or the making of the plan, failed; ``reason`` is for the operator."""

    def __init__(self, step: str, reason: str) -> None:
        self.step = step
        self.reason = reason
        super().__init__(f"{step}: {reason}")


def run(operation_id: int) -> None:
    """Run the operation to its end, if it is this worker's to run.

    1. Claim it. If that fails, it is finished, waits, or another worker has it: nothing to do.
    2. Make the plan and run it. Every step is idempotent, so one that an earlier worker left half done is run again.
    3. On failure undo the failed step and the ones before it, in reverse.
    4. Write the outcome and what follows from it, in one transaction.
    5. Send the operations that waited for this one, or for a free place.

    A worker that is being stopped gives the operation back instead, to be run from its start, and so does one whose
    database fails.
    """
    operation = claims.take(operation_id)
    if operation is None:
        return
    try:
        _run_claimed(operation)
    except claims.ClaimLost as lost:
        logger.warning("%s", lost)
    except worker.Stopping:
        claims.release(operation, counts=False)
        logger.info("Operation %s was given back, because this worker is being stopped.", operation.pk)
        return
    except DatabaseError:
        _give_back(operation)
        return
    send_next(operation)


def _give_back(operation: Operation) -> None:
    """The control plane's own database failed while the operation ran, so nothing of it could be written.

    If it cannot be given back now either, its lease runs out, and it is taken up then.
    """
    logger.exception("Operation %s: the database failed; it will be run again.", operation.pk)
    connection.close()
    try:
        claims.release(operation, counts=True)
    except DatabaseError as error:
        logger.warning("Operation %s cannot be given back yet: %s", operation.pk, error)


def _run_claimed(operation: Operation) -> None:
    instance = _instance_of(operation)
    failure: StepFailed | None = None
    logger.info("Operation %s (%s): begins.", operation.pk, operation)
    with Recorder(operation) as recorder:
        try:
            if operation.attempts > claims.ATTEMPTS:
                raise StepFailed("", f"It was interrupted {claims.ATTEMPTS} times while it ran, so it was given up.")
            if instance is not None:
                recorder.hide(_secrets(instance))
            run_plan(_plan(operation, instance), recorder)
        except StepFailed as error:
            failure = StepFailed(error.step, recorder.redact(error.reason))
    with transaction.atomic():
        if failure is None:
            claims.finish(operation, Outcome.SUCCEEDED)
            _apply_success(operation, instance)
        else:
            claims.finish(operation, Outcome.FAILED, error=failure.reason, failed_step=failure.step)
            _apply_failure(operation, instance)
    logger.info(
        "Operation %s (%s): %s.", operation.pk, operation, f"failed at {failure.step}" if failure else "succeeded"
    )
    if instance is not None and instance.removed_at is None:
        settle(instance, answered=failure is None and operation.kind not in (OperationKind.STOP, OperationKind.MAIL))


def _instance_of(operation: Operation) -> Instance | None:
    if operation.instance_id is None:
        return None
    return Instance.objects.select_related("domain", "host", "version", "projector_logo").get(pk=operation.instance_id)


def _secrets(instance: Instance) -> tuple[str, ...]:
    """Raises StepFailed."""
    try:
        return instance.spec().secrets
    except CannotDecrypt as error:
        raise StepFailed("read the instance's passwords", str(error)) from error


def _plan(operation: Operation, instance: Instance | None) -> Plan:
    """Raises StepFailed."""
    try:
        deployer = deployer_for(operation.host.kind)
        if instance is None:
            assert operation.version is not None
            return deployer.prepare(operation.version.spec())
        if operation.kind in (OperationKind.CREATE, OperationKind.START, OperationKind.UPDATE):
            ensure_port(instance, deployer)
        spec = instance.spec()
        match OperationKind(operation.kind):
            case OperationKind.CREATE:
                return deployer.create(spec)
            case OperationKind.START:
                # What comes back after a reboot need not be awake: its first visitor wakes it.
                return deployer.start(spec, wake=operation.requested_via != Origin.SYSTEM)
            case OperationKind.STOP:
                return deployer.stop(spec)
            case OperationKind.REMOVE:
                return deployer.remove(spec)
            case OperationKind.MAIL:
                return deployer.send_test_mail(spec, operation.recipient)
            case _:
                assert operation.version is not None
                running = instance.desired_state == Desired.ACTIVE
                target = operation.version.spec()
                return deployer.update(spec, target, token=str(operation.pk), running=running)
    except (DeployError, OperationRefused, UnsupportedHost) as error:
        raise StepFailed("make the plan", str(error)) from error


def run_plan(plan: Plan, recorder: Recorder) -> None:
    """Run and record the steps. Raises StepFailed (after the undo), ClaimLost, Stopping."""
    recorder.begin(plan)
    for index, step in enumerate(plan):
        worker.check()
        recorder.started(index)
        try:
            step.do(lambda text, index=index: recorder.log(index, text))  # type: ignore[misc]
        except Exception as error:
            # Whatever a step raises, the operation must end and what was made must be undone. What is not a
            # DeployError or OSError is a defect of ours, so its traceback goes to the log.
            worker.check()
            if not isinstance(error, DeployError | OSError):
                logger.exception("Operation %s, step %r", recorder.operation.pk, step.name)
            reason = str(error) or type(error).__name__
            recorder.log(index, reason)
            recorder.ended(index, StepStatus.FAILED)
            _undo(plan, index, recorder)
            if isinstance(error, NotPrepared):
                Version.objects.filter(name=error.version).update(preparation=Preparation.NONE)
            raise StepFailed(step.name, reason) from error
        recorder.ended(index, StepStatus.DONE)


def _undo(plan: Plan, failed: int, recorder: Recorder) -> None:
    """Undo the failed step, which may be half done, and all before it. One that cannot be undone stops none."""
    for index in range(failed, -1, -1):
        undo = plan[index].undo
        if undo is None:
            continue
        recorder.check()
        try:
            undo(lambda text, index=index: recorder.log(index, text))  # type: ignore[misc]
        except (DeployError, OSError) as error:
            recorder.log(index, f"This step could not be undone: {error}")
            logger.error("Operation %s: undo of %r failed: %s", recorder.operation.pk, plan[index].name, error)
        recorder.undone(index)


def _apply_success(operation: Operation, instance: Instance | None) -> None:
    now = timezone.now()
    if instance is None:
        Version.objects.filter(operations=operation).update(preparation=Preparation.PREPARED, prepared_at=now)
        return
    if operation.kind == OperationKind.MAIL:
        return
    instance.failure = ""
    changed = ["failure"]
    match OperationKind(operation.kind):
        case OperationKind.CREATE:
            instance.installed_at = now
            changed += ["installed_at"]
        case OperationKind.UPDATE:
            assert operation.version is not None
            instance.version = operation.version
            changed += ["version"]
        case OperationKind.REMOVE:
            instance.removed_at, instance.port, instance.observed_state = now, None, State.STOPPED
            changed += ["removed_at", "port", "observed_state"]
    instance.save(update_fields=changed)


def _apply_failure(operation: Operation, instance: Instance | None) -> None:
    if instance is None:
        Version.objects.filter(operations=operation).update(preparation=Preparation.FAILED)
        for waiting in Operation.objects.filter(waits_for=operation, status=Outcome.QUEUED):
            _fail_waiting(waiting, operation)
        return
    if operation.kind == OperationKind.MAIL:
        return  # it says nothing of whether the instance runs
    instance.failure = operation.kind
    instance.save(update_fields=["failure"])


def _fail_waiting(waiting: Operation, failed: Operation) -> None:
    """An operation that waited for the preparation of its version fails with it."""
    claims.finish(
        waiting,
        Outcome.FAILED,
        failed_step=failed.failed_step,
        error=f"{failed.version} could not be prepared: {failed.error}",
    )
    instance = _instance_of(waiting)
    if instance is not None:
        _apply_failure(waiting, instance)
        instance.observed_state = states.observed(instance.facts(None), UnitState.STOPPED)
        instance.save(update_fields=["observed_state"])


def settle(instance: Instance, *, answered: bool) -> None:
    """Read the instance's state from its host now, instead of at the next look. One call, one UPDATE.

    ``answered``: OpenSlides was ready a moment ago, so a process that is still "starting" for its service manager is
    not starting any more.
    """
    try:
        unit = deployer_for(instance.host.kind).states().get(instance.id, UnitState.STOPPED)
    except ServiceManagerUnreachable as error:
        logger.warning("%s", error)
        return
    if answered and unit == UnitState.STARTING:
        unit = UnitState.RUNNING
    state = states.observed(instance.facts(None), unit)
    if state == instance.observed_state:
        return
    # Guarded: if the next operation was filed in the meantime, the state is its business.
    Instance.objects.filter(pk=instance.pk, observed_state=instance.observed_state).update(
        observed_state=state, state_since=timezone.now()
    )


def send_next(ended: Operation) -> None:
    """Send what may run now that ``ended`` does not: what waited for it, and the oldest that wait for a place."""
    waiting = Operation.objects.claimable().filter(host=ended.host_id).select_related("host").order_by("id")
    for operation in waiting[: claims.free_places(ended.host_id)]:
        messages.run(operation)
