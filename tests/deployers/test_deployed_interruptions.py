"""A worker may die at any instruction; the same plan is run again from the start and ends in the same place."""

from __future__ import annotations

import pytest

from deployers.errors import DeployError
from deployers.spec import InstanceSpec
from tests.deployers.host import SUPERADMIN_PASSWORD, Browser, Host, and_then_fails, dies_at, run, version

CREATE_STEPS = range(1, 10)
UPDATE_STEPS = range(1, 11)


def works(host: Host, spec: InstanceSpec, release: str) -> Browser:
    browser = Browser(host.deployer.url(spec.location))
    assert browser.login("admin", SUPERADMIN_PASSWORD)
    assert browser.version() == release
    assert browser.config()["general_event_name"] == "Annual assembly 2026"
    return browser


@pytest.mark.parametrize("steps", CREATE_STEPS)
def test_create_goes_on_after_each_step(host: Host, steps: int) -> None:
    spec = host.spec()
    plan = host.deployer.create(spec)
    assert len(plan) == CREATE_STEPS[-1]
    run(plan, only=steps)
    run(host.deployer.create(spec))
    works(host, spec, "3.3")
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


@pytest.mark.parametrize("event", [1, 4, 7, 9, 11, 14, 17, 20, 23])
def test_create_goes_on_after_a_death_at_any_instruction(host: Host, event: int) -> None:
    spec = host.spec()
    assert dies_at(event, lambda: run(host.deployer.create(spec)))
    run(host.deployer.create(spec))
    works(host, spec, "3.3")
    assert dies_at(1 + event % 4, lambda: run(host.deployer.remove(spec)))
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_create_that_is_run_again_keeps_what_users_wrote_meanwhile(host: Host) -> None:
    spec = host.create()
    works(host, spec, "3.3").add_topic("Written before the operation was recorded as done")
    pid = host.pid(spec)
    run(host.deployer.create(spec))
    assert works(host, spec, "3.3").topics() == ["Written before the operation was recorded as done"]
    assert host.pid(spec) == pid
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("steps", CREATE_STEPS)
def test_a_create_that_fails_leaves_nothing(host: Host, steps: int) -> None:
    spec = host.spec()
    plan = host.deployer.create(spec)
    with pytest.raises(DeployError, match="No space left"):
        run(and_then_fails(plan, after=plan[steps - 1].name))
    assert host.nothing_left_of(spec)


@pytest.mark.parametrize("steps", UPDATE_STEPS)
def test_update_goes_on_after_each_step(host: Host, steps: int) -> None:
    spec = host.create("3.2")
    works(host, spec, "3.2").add_topic("From before")
    plan = host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update"))
    assert len(plan) == UPDATE_STEPS[-1]
    run(plan, only=steps)
    run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    assert works(host, spec, "3.3").topics() == ["From before"]
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("event", [3, 6, 9, 12, 15, 18, 21, 24, 27, 30])
def test_update_goes_on_after_a_death_at_any_instruction(host: Host, event: int) -> None:
    spec = host.create("3.2")
    works(host, spec, "3.2").add_topic("From before")
    assert dies_at(
        event, lambda: run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    )
    run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    assert works(host, spec, "3.3").topics() == ["From before"]
    run(host.deployer.remove(spec))


def test_update_that_is_run_again_keeps_what_users_wrote_in_the_new_version(host: Host) -> None:
    spec = host.create("3.2")
    run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    works(host, spec, "3.3").add_topic("Written in the new version")
    run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    assert works(host, spec, "3.3").topics() == ["Written in the new version"]
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("event", [2, 5, 8, 11, 14, 17])
def test_an_undo_that_was_interrupted_does_not_lose_the_data(host: Host, event: int) -> None:
    spec = host.create("3.2")
    works(host, spec, "3.2").add_topic("From before")
    plan = host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update"))
    run(plan)
    (undo,) = (step.undo for step in plan if step.undo is not None)
    assert dies_at(event, lambda: undo(lambda text: None))
    run(host.deployer.update(spec, version("3.3"), token="1", archive=host.archive("update")))
    assert works(host, spec, "3.3").topics() == ["From before"]
    run(host.deployer.remove(spec))


def test_create_does_not_take_over_what_a_try_with_another_version_left(host: Host) -> None:
    spec = host.spec("3.2")
    run(host.deployer.create(spec), only=7)
    run(host.deployer.create(host.spec("3.3", id=spec.id, port=spec.port)))
    works(host, spec, "3.3")
    run(host.deployer.remove(spec))
