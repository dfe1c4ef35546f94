"""From the states of an instance's units to the one word of the instance: every combination that systemd makes."""

from __future__ import annotations

import pytest

from deployers.services.systemd import states_of, unit_names
from deployers.services.systemd_bus import Unit
from deployers.states import UnitState

ID = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


def state(
    socket: str, proxy: str, instance: str, awake: str = "inactive", family: str = "openslides_instance"
) -> UnitState:
    names = unit_names(family, ID)
    found = zip(names, (socket, awake, proxy, instance), strict=True)
    return states_of([Unit(name, active, "") for name, active in found]).get(ID, UnitState.STOPPED)


@pytest.mark.parametrize(
    ("socket", "proxy", "instance", "expected"),
    [
        ("inactive", "inactive", "inactive", UnitState.STOPPED),
        ("active", "inactive", "inactive", UnitState.LISTENING),
        ("active", "activating", "inactive", UnitState.LISTENING),
        ("active", "inactive", "activating", UnitState.STARTING),
        ("active", "active", "inactive", UnitState.STARTING),
        ("active", "active", "active", UnitState.RUNNING),
        ("active", "inactive", "active", UnitState.RUNNING),
        ("active", "inactive", "deactivating", UnitState.LISTENING),
        ("active", "deactivating", "deactivating", UnitState.LISTENING),
        ("inactive", "inactive", "deactivating", UnitState.STOPPING),
        ("deactivating", "inactive", "inactive", UnitState.STOPPING),
        ("inactive", "inactive", "active", UnitState.RUNNING),
        ("active", "inactive", "failed", UnitState.FAILED),
        ("failed", "inactive", "inactive", UnitState.FAILED),
        ("failed", "failed", "failed", UnitState.FAILED),
        ("failed", "active", "active", UnitState.FAILED),
    ],
)
def test_the_units_of_an_instance_have_one_state(socket: str, proxy: str, instance: str, expected: UnitState) -> None:
    assert state(socket, proxy, instance) == expected


def test_an_instance_that_is_always_on_starts_with_its_target() -> None:
    assert state("active", "inactive", "inactive", awake="active") == UnitState.STARTING


def test_units_of_rkt_count_like_those_of_podman() -> None:
    assert state("active", "inactive", "inactive", family="openslides_rkt") == UnitState.LISTENING


def test_what_an_update_to_another_engine_left_does_not_hide_what_runs() -> None:
    old = [Unit(name, "inactive", "dead") for name in unit_names("openslides_rkt", ID)]
    new = [Unit(name, "active", "running") for name in unit_names("openslides_instance", ID)]
    assert states_of([*old, *new])[ID] == states_of([*new, *old])[ID] == UnitState.RUNNING


def test_instances_are_told_apart_and_other_units_are_none() -> None:
    units = [
        Unit(f"openslides_instance_proxy@{ID}.socket", "active", "listening"),
        Unit(f"openslides_instance@{OTHER}.service", "active", "running"),
        Unit("openslides_instance@not-an-id.service", "active", "running"),
        Unit("nginx.service", "failed", "failed"),
    ]
    assert states_of(units) == {ID: UnitState.LISTENING, OTHER: UnitState.RUNNING}


def test_no_unit_is_named_by_anything_but_an_id() -> None:
    with pytest.raises(ValueError, match="not an instance's id"):
        unit_names("openslides_instance", "../nginx")
