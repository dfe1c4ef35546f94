"""Runs an operation: makes the plan, runs its steps, records them, and undoes them when one fails."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection, transaction

from deployers import interruption
from deployers.errors import DeployError, NotPrepared, ServiceManagerUnreachable
from deployers.plan import Plan, Serving
from deployers.reasons import reason_of
from deployers.states import UnitState
from instances import claims, history, messages, outcomes, states, turns, worker
from instances.choices import OperationKind, Outcome, Preparation, State, StepStatus
from instances.deployment import deployer_for
from instances.fields import CannotDecrypt
from instances.models import Instance, Operation, Version
from instances.operations.ending import take_back
from instances.planning import NoPlan, plan_of
from instances.recorder import CANCELLED, Recorder

logger = logging.getLogger(__name__)

_NOT_STARTED = (OperationKind.STOP, OperationKind.MAIL, OperationKind.BACKUP)
"""After these nobody has asked OpenSlides whether it answers."""


class StepFailed(Exception):
    """A step, or the making of the plan, failed; ``reason`` is for the operator, ``cause`` what the step raised."""

    def __init__(self, step: str, reason: str, cause: Exception | None = None) -> None:
        self.step = step
        self.reason = reason
        self.cause = cause
        super().__init__(f"{step}: {reason}")


class WasCancelled(StepFailed):
    """The operation was cancelled, and what it had done is undone."""


def run(operation_id: int) -> None:
    """Run the operation to its end, if it is this worker's to run.

    1. Claim it. If that fails, it is finished, waits, or another worker has it: nothing to do. Then wait until nobody
       on this machine is at work on the same thing any more; who waits in vain gives the operation back.
    2. Make the plan and run it. Every step is idempotent, so one that an earlier worker left half done is run again.
    3. On failure undo the failed step and the ones before it, in reverse; so, too, when it was cancelled.
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
    except turns.NotOurTurn as busy:
        claims.release(operation, counts=False)
        logger.warning("Operation %s was given back: %s", operation.pk, busy)
        return
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
    # To the very end: a backup store that is asked what became of an archive may be silent for longer than the lease.
    with Recorder(operation) as recorder, turns.turn(turns.thing_of(operation), turns.WAIT_SECONDS):
        try:
            if instance is not None:
                recorder.hide(_secrets(instance))
            plan = _make_plan(operation, instance)
            if operation.attempts > claims.ATTEMPTS and _can_go_back(operation, plan):
                reason = f"It was interrupted {claims.ATTEMPTS} times while it ran, so it was given up."
                recorder.begin(plan)
                _undo(plan, operation.reached - 1, recorder)
                raise StepFailed("", reason)
            run_plan(plan, recorder)
        except StepFailed as error:
            failure = type(error)(error.step, recorder.redact(error.reason), error.cause)
        outcome = _end(operation, instance, failure)
    logger.info("Operation %s (%s): %s.", operation.pk, operation, outcome)
    if instance is not None and instance.removed_at is None:
        settle(instance, answered=failure is None and operation.kind not in _NOT_STARTED)


def _can_go_back(operation: Operation, plan: Plan) -> bool:
    """Whether nobody can have used yet what the plan makes.

    When its last step has begun, people may be at work with the new data, and its undo would take what they wrote.
    """
    return not operation.is_final and operation.reached < len(plan)


def _make_plan(operation: Operation, instance: Instance | None) -> Plan:
    """Raises StepFailed."""
    try:
        return plan_of(operation, instance)
    except DatabaseError:
        raise
    except Exception as error:
        # As in run_plan(): whatever is raised, the operation must end.
        if not isinstance(error, NoPlan):
            logger.exception("Operation %s: no plan", operation.pk)
        raise StepFailed("make the plan", str(error) or type(error).__name__, error) from error


def _end(operation: Operation, instance: Instance | None, failure: StepFailed | None) -> str:
    """Write the outcome and what follows from it; how it ended, for the log. Raises ClaimLost."""
    write_backup = outcomes.ask_for_backup(operation)
    with transaction.atomic():
        Instance.objects.hold(operation.instance_id)
        if failure is None:
            claims.finish(operation, Outcome.SUCCEEDED)
            write_backup()
            outcomes.apply_success(operation, instance)
            return "succeeded"
        if isinstance(failure, WasCancelled):
            operation.refresh_from_db(fields=["error"])
            claims.finish(operation, Outcome.CANCELLED, error=operation.error, failed_step=failure.step)
            write_backup()
            take_back(operation)
            if instance is not None:
                instance.refresh_from_db()
            return "was cancelled"
        claims.finish(operation, Outcome.FAILED, error=failure.reason, failed_step=failure.step)
        write_backup()
        outcomes.apply_failure(operation, instance, failure.cause)
        if instance is not None and instance.removed_at is not None:
            # A purge of what was removed before: no look comes by any more that would write how it is.
            history.change_state(instance, State.STOPPED)
        return f"failed at {failure.step}"


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


def run_plan(plan: Plan, recorder: Recorder) -> None:
    """Run and record the steps. Raises StepFailed and WasCancelled (after the undo), ClaimLost, Stopping."""
    recorder.begin(plan)
    for index, step in enumerate(plan):
        worker.check()
        try:
            bell = recorder.started(index, step)
        except claims.Cancelled:
            _undo(plan, max(index, recorder.operation.reached) - 1, recorder)
            raise WasCancelled(step.name, CANCELLED) from None
        try:
            with interruption.during(bell):
                step.do(lambda text, index=index: recorder.log(index, text))  # type: ignore[misc]
        except Exception as error:
            # Whatever a step raises, the operation must end and what was made must be undone. What is not a
            # DeployError or OSError is a defect of ours, so its traceback goes to the log.
            worker.check()
            recorder.check()
            if not isinstance(error, DeployError | OSError):
                logger.exception("Operation %s, step %r", recorder.operation.pk, step.name)
            reason = reason_of(error)
            recorder.log(index, reason)
            recorder.ended(index, StepStatus.FAILED)
            _undo(plan, max(index, recorder.operation.reached - 1), recorder)
            if isinstance(error, NotPrepared):
                Version.objects.filter(name=error.version).update(preparation=Preparation.NONE)
            kind = WasCancelled if bell.reason == CANCELLED else StepFailed
            raise kind(step.name, reason, error) from error
        recorder.ended(index, StepStatus.DONE)
        if step.serving is Serving.RETURNS:
            claims.served_again(recorder.operation)


def _undo(plan: Plan, last: int, recorder: Recorder) -> None:
    """Undo step ``last``, which may be half done, and all before it. One that cannot be undone stops none.

    An earlier run of the same plan may have come further than this one: ``last`` is the furthest that any came.
    """
    for index in range(min(last, len(plan) - 1), -1, -1):
        undo = plan[index].undo
        if undo is None:
            continue
        recorder.check()
        try:
            with interruption.during(recorder.undoing):
                undo(lambda text, index=index: recorder.log(index, text))  # type: ignore[misc]
        except (DeployError, OSError) as error:
            recorder.check()
            recorder.log(index, f"This step could not be undone: {error}")
            logger.error("Operation %s: undo of %r failed: %s", recorder.operation.pk, plan[index].name, error)
        recorder.undone(index)
    claims.served_again(recorder.operation)


def settle(instance: Instance, *, answered: bool) -> None:
    """Read the instance's state from its host now, instead of at the next look. One call, and one change of state.

    ``answered``: OpenSlides was ready a moment ago, so a process that is still "starting" for its service manager is
    not starting any more. If the next operation was filed in the meantime, the state is its business.
    """
    try:
        unit = deployer_for(instance.host.kind).states().get(instance.id, UnitState.STOPPED)
    except ServiceManagerUnreachable as error:
        logger.warning("%s", error)
        return
    if answered and unit == UnitState.STARTING:
        unit = UnitState.RUNNING
    unit = states.since(instance.observed_state, unit)
    history.change_state(instance, states.observed(instance.facts(None), unit))


def send_next(ended: Operation) -> None:
    """Send what may run now that ``ended`` does not: what waited for it, and the oldest that wait for a place."""
    waiting = Operation.objects.claimable().filter(host=ended.host_id).select_related("host").order_by("id")
    for operation in waiting[: claims.free_places(ended.host_id)]:
        messages.run(operation)
