"""Every combination of what the row and the host can say, and the word that follows."""

from __future__ import annotations

import itertools

import pytest

from deployers.states import UnitState
from instances.choices import Desired, OperationKind, State
from instances.states import Facts, observed, since

U = UnitState
K = OperationKind
ANY_UNIT = tuple(UnitState)

PLAIN = {
    U.RUNNING: State.ACTIVE,
    U.STARTING: State.STARTING,
    U.STOPPING: State.STOPPED,
    U.LISTENING: State.SLEEPING,
    U.FAILED: State.ERROR,
    U.STOPPED: State.STOPPED,
}


def expected(facts: Facts, unit: UnitState) -> State:
    """The specification, written as the list of exceptions from the plain reading of the service."""
    by_operation = {K.CREATE: State.INSTALLING, K.UPDATE: State.UPDATING, K.REMOVE: State.REMOVING}
    if facts.operation in by_operation:
        return by_operation[facts.operation]
    if not facts.installed:
        return State.INSTALLING_FAILED if facts.failure == K.CREATE else State.NEW
    if facts.operation == K.START:
        return State.STARTING
    if unit in (U.STOPPED, U.STOPPING, U.FAILED):
        if facts.failure == K.UPDATE:
            return State.UPDATE_FAILED
        if facts.desired != Desired.ACTIVE:
            return State.STOPPED
        if facts.failure == K.START:
            return State.ERROR
    return PLAIN[unit]


KINDS = (None, K.CREATE, K.START, K.STOP, K.UPDATE, K.REMOVE)
COMBINATIONS = [
    (Facts(installed, desired, operation, failure), unit)
    for installed, desired, operation, failure, unit in itertools.product(
        (True, False), Desired, KINDS, KINDS, ANY_UNIT
    )
]


@pytest.mark.parametrize(("facts", "unit"), COMBINATIONS)
def test_every_combination_has_its_state(facts: Facts, unit: UnitState) -> None:
    assert observed(facts, unit) == expected(facts, unit)


@pytest.mark.parametrize(("facts", "unit"), COMBINATIONS)
def test_nothing_is_known_of_a_host_that_is_not_heard_of(facts: Facts, unit: UnitState) -> None:
    assert observed(facts, unit, heard=False) == State.UNKNOWN


def test_every_word_occurs() -> None:
    words = {observed(facts, unit) for facts, unit in COMBINATIONS} | {State.UNKNOWN}
    assert words == set(State)


@pytest.mark.parametrize(
    ("facts", "unit", "state"),
    [
        (Facts(False, Desired.ACTIVE), U.STOPPED, State.NEW),
        (Facts(False, Desired.ACTIVE, operation=K.CREATE), U.STOPPED, State.INSTALLING),
        (Facts(False, Desired.ACTIVE, operation=K.CREATE), U.RUNNING, State.INSTALLING),
        (Facts(False, Desired.ACTIVE, failure=K.CREATE), U.STOPPED, State.INSTALLING_FAILED),
        (Facts(False, Desired.ACTIVE, operation=K.CREATE, failure=K.CREATE), U.STOPPED, State.INSTALLING),
        (Facts(True, Desired.ACTIVE), U.RUNNING, State.ACTIVE),
        (Facts(True, Desired.ACTIVE), U.LISTENING, State.SLEEPING),
        (Facts(True, Desired.ACTIVE), U.FAILED, State.ERROR),
        (Facts(True, Desired.ACTIVE), U.STOPPED, State.STOPPED),
        (Facts(True, Desired.STOPPED), U.STOPPED, State.STOPPED),
        (Facts(True, Desired.STOPPED), U.FAILED, State.STOPPED),
        (Facts(True, Desired.ACTIVE, operation=K.START), U.STOPPED, State.STARTING),
        (Facts(True, Desired.ACTIVE, failure=K.START), U.STOPPED, State.ERROR),
        (Facts(True, Desired.ACTIVE, operation=K.UPDATE), U.STOPPED, State.UPDATING),
        (Facts(True, Desired.ACTIVE, failure=K.UPDATE), U.FAILED, State.UPDATE_FAILED),
        (Facts(True, Desired.ACTIVE, failure=K.UPDATE), U.RUNNING, State.ACTIVE),
        (Facts(True, Desired.REMOVED, operation=K.REMOVE), U.RUNNING, State.REMOVING),
    ],
)
def test_the_cases_that_an_operator_meets(facts: Facts, unit: UnitState, state: State) -> None:
    assert observed(facts, unit) == state


@pytest.mark.parametrize("unit", ANY_UNIT)
@pytest.mark.parametrize("before", State)
def test_a_process_in_its_first_seconds_is_no_step_back_from_active(before: State, unit: UnitState) -> None:
    stays_active = before == State.ACTIVE and unit == U.STARTING
    assert since(before, unit) == (U.RUNNING if stays_active else unit)
