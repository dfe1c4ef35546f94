"""From what is known of an instance to the one word that says how it is."""

from __future__ import annotations

from dataclasses import dataclass

from deployers.states import UnitState
from instances.choices import Desired, OperationKind, State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows of one instance.

    ``installed``: it was created completely. ``operation``: the kind of its unfinished operation.
    ``failure``: the kind of its last operation, if that one failed.
    """

    installed: bool
    desired: Desired
    operation: OperationKind | None = None
    failure: OperationKind | None = None


def since(before: str, unit: UnitState) -> UnitState:
    """What a service manager's word means for an instance that was in the state ``before``.

    supervisord calls a process "starting" for its first seconds, also when it answers already, and one that it started
    again by itself: neither is a step back from active.
    """
    return UnitState.RUNNING if unit == UnitState.STARTING and before == State.ACTIVE else unit


_DURING = {
    OperationKind.CREATE: State.INSTALLING,
    OperationKind.UPDATE: State.UPDATING,
    OperationKind.RESTORE: State.UPDATING,
    OperationKind.REMOVE: State.REMOVING,
    OperationKind.PURGE: State.REMOVING,
}
_OF_UNIT = {
    UnitState.RUNNING: State.ACTIVE,
    UnitState.STARTING: State.STARTING,
    UnitState.LISTENING: State.SLEEPING,
    UnitState.STOPPING: State.STOPPED,
    UnitState.STOPPED: State.STOPPED,
    UnitState.FAILED: State.ERROR,
}


def observed(facts: Facts, unit: UnitState, *, heard: bool = True) -> State:
    """The observed state, from the row and what the host says of the service.

    ``heard``: whether the host has been heard of lately; if not, nothing is known.

    An operation that changes the instance as a whole says more than its services, which come and go
    meanwhile. After that the services are the truth, read in the light of what is wanted: a failed
    service of an instance that shall be stopped is just stopped, and one that shall be active but does
    not run since its start failed is in error.
    """
    if not heard:
        return State.UNKNOWN
    if facts.operation in _DURING:
        return _DURING[facts.operation]
    if not facts.installed:
        return State.INSTALLING_FAILED if facts.failure == OperationKind.CREATE else State.NEW
    if facts.operation == OperationKind.START:
        return State.STARTING
    state = _OF_UNIT[unit]
    if state in (State.STOPPED, State.ERROR):
        if facts.failure == OperationKind.UPDATE:
            return State.UPDATE_FAILED
        if facts.desired != Desired.ACTIVE:
            return State.STOPPED
        if facts.failure == OperationKind.START:
            return State.ERROR
    return state
