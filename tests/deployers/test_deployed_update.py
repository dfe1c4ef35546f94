"""Updates of real OpenSlides instances: they work, or the old version and the old data are back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployers.errors import CommandFailed, DataOfOtherRelease, NotPrepared, NotReady
from deployers.parts import Timeouts
from deployers.spec import InstanceSpec
from deployers.states import UnitState
from tests.deployers.host import (
    ADMIN_PASSWORD,
    SUPERADMIN_PASSWORD,
    VERSIONS,
    Browser,
    Host,
    and_then_fails,
    run,
    version,
)


def logged_in(host: Host, spec: InstanceSpec, major: int = 3) -> Browser:
    browser = Browser(host.deployer.url(spec.location), major)
    assert browser.login("admin", SUPERADMIN_PASSWORD)
    return browser


def fake_version(host: Host, script: str) -> None:
    """Put a 3.3 into the host whose Python is ``script``, a shell script; ``$python`` is the real one."""
    real = VERSIONS / version("3.3").directory_name
    fake = host.data_dir / "versions" / version("3.3").directory_name
    fake.unlink()
    (fake / "venv" / "bin").mkdir(parents=True)
    for name in ("prepared.json", "template.sqlite", "static", "venv/lib"):
        (fake / name).symlink_to(real / name)
    python = fake / "venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\npython='{real}/venv/bin/python'\n{script}\n")
    python.chmod(0o700)


@pytest.fixture
def genuine(host: Host) -> Path:
    """Puts the real 3.3 back after the test."""
    link = host.data_dir / "versions" / version("3.3").directory_name
    yield link  # type: ignore[misc]
    if not link.is_symlink():
        os.rename(link, host.data_dir / "versions" / f"fake-{host.made}")
        link.symlink_to(VERSIONS / link.name)


@pytest.mark.parametrize("release", ["3.2", "2.3"])
def test_an_update_keeps_the_data_and_the_new_version_answers(host: Host, release: str) -> None:
    spec = host.create(release)
    before = logged_in(host, spec, int(release[0]))
    if release == "3.2":
        before.add_topic("A topic from before")
    run(host.deployer.update(spec, version("3.3"), token="7", archive=host.archive("update")))
    after = logged_in(host, spec)
    assert after.version() == "3.3"
    assert after.config()["general_event_name"] == "Annual assembly 2026"
    assert Browser(after.url).login("anna", ADMIN_PASSWORD)
    if release == "3.2":
        assert after.topics() == ["A topic from before"]
    assert [path.name for path in (host.directory(spec) / "previous").iterdir()] == ["7"]
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_a_stopped_instance_is_stopped_after_its_update(host: Host) -> None:
    spec = host.create("3.2")
    run(host.deployer.stop(spec))
    run(host.deployer.update(spec, version("3.3"), token="8", archive=host.archive("update"), running=False))
    assert host.deployer.states()[spec.id] == UnitState.STOPPED
    updated = host.spec("3.3", id=spec.id, port=spec.port)
    run(host.deployer.start(updated))
    assert logged_in(host, spec).version() == "3.3"
    run(host.deployer.remove(spec))


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ('case "$*" in *migrate*) echo no such table; exit 1;; esac; exec "$python" "$@"', CommandFailed),
        ('case "$*" in *daphne*) echo cannot start; exit 3;; esac; exec "$python" "$@"', NotReady),
        (
            f"case \"$*\" in *daphne*) python='{VERSIONS / version('3.2').directory_name}/venv/bin/python';; esac; "
            'exec "$python" "$@"',
            NotReady,
        ),
    ],
    ids=["migration fails", "server does not start", "another version answers"],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_failed_update_brings_the_old_version_and_data_back(
    host: Host, genuine: Path, script: str, error: type[Exception], running: bool
) -> None:
    spec = host.create("3.2")
    logged_in(host, spec).add_topic("A topic from before")
    if not running:
        run(host.deployer.stop(spec))
    fake_version(host, script)
    host.use(timeouts=Timeouts(ready=12))
    with pytest.raises(error):
        run(host.deployer.update(spec, version("3.3"), token="9", archive=host.archive("update"), running=running))
    assert (host.deployer.states()[spec.id] == UnitState.STOPPED) is not running
    if not running:
        run(host.deployer.start(spec))
    after = logged_in(host, spec)
    assert after.version() == "3.2"
    assert after.topics() == ["A topic from before"]
    assert not list((host.directory(spec) / "previous").iterdir())
    host.use()
    run(host.deployer.remove(spec))


def test_an_update_to_a_version_that_is_not_prepared_touches_nothing(host: Host) -> None:
    spec = host.create("3.2")
    pid = host.pid(spec)
    with pytest.raises(NotPrepared):
        run(host.deployer.update(spec, version("3.1"), token="10", archive=host.archive("update")))
    assert host.pid(spec) == pid
    run(host.deployer.remove(spec))


def test_an_update_that_failed_works_once_the_cause_is_gone(host: Host) -> None:
    spec = host.create("3.2")
    plan = host.deployer.update(spec, version("3.3"), token="11", archive=host.archive("update"))
    for step in plan[1:]:
        with pytest.raises(Exception, match="No space left"):
            run(and_then_fails(plan, after=step.name))
        assert logged_in(host, spec).version() == "3.2"
    run(plan)
    assert logged_in(host, spec).version() == "3.3"
    run(host.deployer.remove(spec))


def test_data_of_a_newer_version_is_never_run_with_an_older_one(host: Host) -> None:
    spec = host.create("3.2")
    run(host.deployer.update(spec, version("3.3"), token="12", archive=host.archive("update")))
    run(host.deployer.stop(spec))
    with pytest.raises(DataOfOtherRelease):
        run(host.deployer.start(spec))
    run(host.deployer.remove(spec))
