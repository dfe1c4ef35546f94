"""What goes wrong on a host is named, undone, and right again once the cause is gone."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from deployers.errors import (
    InstanceMissing,
    NotPrepared,
    NotReady,
    PortTaken,
    ServiceManagerUnreachable,
    UnknownDatabase,
    UnknownImage,
    UsernameTaken,
)
from deployers.files import remove_tree
from deployers.parts import Timeouts
from deployers.spec import Account, VersionSpec
from deployers.states import UnitState
from tests.deployers.host import VERSIONS, Browser, Host, open_host, run, version
from tests.observing import processes_of, wait_for


def test_a_template_that_is_gone_is_named_and_nothing_is_left(host: Host) -> None:
    spec = host.spec()
    link = host.data_dir / "versions" / spec.version.directory_name
    (link / "template.sqlite").unlink()
    with pytest.raises(NotPrepared, match=r"template\.sqlite"):
        run(host.deployer.create(spec))
    assert host.nothing_left_of(spec)
    (link / "template.sqlite").symlink_to(VERSIONS / link.name / "template.sqlite")
    run(host.deployer.create(spec))
    run(host.deployer.remove(spec))


def test_a_port_that_is_taken_is_named(host: Host) -> None:
    spec = host.spec()
    with socket.socket() as other:
        other.bind(("0.0.0.0", spec.port))
        other.listen()
        with pytest.raises(PortTaken):
            run(host.deployer.create(spec))
    assert host.nothing_left_of(spec)


def test_the_superadmins_name_is_refused_for_the_local_administrator(host: Host) -> None:
    spec = host.spec(admin=Account("A", "B", "admin", "p"))
    with pytest.raises(UsernameTaken):
        run(host.deployer.create(spec))
    assert host.nothing_left_of(spec)


def test_a_process_that_is_killed_comes_back(host: Host) -> None:
    spec = host.create()
    pid = host.pid(spec)
    wait_for("running", lambda: host.deployer.states()[spec.id] == UnitState.RUNNING, 90)
    os.kill(pid, signal.SIGKILL)
    wait_for("another process", lambda: set(processes_of(host.directory(spec))) not in ({pid}, set()), 90)
    run(host.deployer.start(spec))
    assert Browser(host.deployer.url(spec.location)).version() == "3.3"
    run(host.deployer.remove(spec))


def test_a_process_that_cannot_start_is_given_up_and_stopped_when_stopped(host: Host) -> None:
    spec = host.create()
    (host.directory(spec) / "settings.py").write_text("raise SystemExit('broken by hand')\n")
    os.kill(host.pid(spec), signal.SIGKILL)
    wait_for("given up", lambda: host.services.has_given_up(spec.id), 180)
    assert host.deployer.states()[spec.id] == UnitState.FAILED
    run(host.deployer.stop(spec))
    assert host.deployer.states()[spec.id] == UnitState.STOPPED
    run(host.deployer.start(spec))
    run(host.deployer.remove(spec))


def test_an_instance_that_does_not_get_ready_is_reported_with_its_log(host: Host) -> None:
    spec = host.spec()
    plan = host.deployer.create(spec)
    run(plan, only=5)
    (host.directory(spec) / "settings.py").write_text("raise SystemExit('broken by hand')\n")
    with pytest.raises(NotReady, match="broken by hand"):
        run(plan[5:])
    remove_tree(host.directory(spec))
    assert host.nothing_left_of(spec)


def test_time_to_get_ready_is_limited(host: Host) -> None:
    host.use(timeouts=Timeouts(ready=0.1))
    spec = host.spec()
    with pytest.raises(NotReady, match=r"within \d+ s"):
        run(host.deployer.create(spec))
    host.use()
    assert host.nothing_left_of(spec)


def test_a_lost_instance_is_named(host: Host) -> None:
    spec = host.create()
    run(host.deployer.stop(spec))
    remove_tree(host.directory(spec))
    with pytest.raises(InstanceMissing):
        run(host.deployer.start(spec))
    run(host.deployer.remove(spec))


def test_a_directory_removed_by_hand_does_not_stop_other_instances(host: Host) -> None:
    lost, other = host.create(), host.create()
    run(host.deployer.stop(lost))
    remove_tree(host.directory(lost))
    third = host.create()
    assert Browser(host.deployer.url(third)).version() == "3.3"
    host.stop()
    host.start()
    run(host.deployer.start(other))
    for spec in (lost, other, third):
        run(host.deployer.remove(spec))
        assert host.nothing_left_of(spec)


def test_other_instances_keep_their_processes(host: Host) -> None:
    first = host.create()
    pid = host.pid(first)
    second = host.create("3.2")
    run(host.deployer.update(second, version("3.3"), token="1", archive=host.archive("update")))
    run(host.deployer.stop(second))
    run(host.deployer.remove(second))
    assert host.pid(first) == pid
    run(host.deployer.remove(first))


def test_another_port_is_used_from_the_next_start_on(host: Host) -> None:
    spec = host.create()
    run(host.deployer.stop(spec))
    moved = host.spec(id=spec.id)
    run(host.deployer.start(moved))
    assert Browser(host.deployer.url(moved)).version() == "3.3"
    assert spec.port is not None
    assert host.deployer.port_is_free(spec.port)
    run(host.deployer.remove(moved))


def test_without_supervisord_states_are_unknown_and_remove_still_removes(prepared: None) -> None:
    host = open_host()
    try:
        spec = host.create()
        host.stop()
        with pytest.raises(ServiceManagerUnreachable):
            host.deployer.states()
        with pytest.raises(ServiceManagerUnreachable):
            run(host.deployer.stop(spec))
        run(host.deployer.remove(spec))
        host.start()
        assert host.nothing_left_of(spec)
    finally:
        assert not host.close()


def test_nothing_outlives_a_killed_supervisord(prepared: None) -> None:
    host = open_host()
    try:
        spec = host.create()
        assert host.supervisord is not None
        host.supervisord.kill()
        host.supervisord.wait()
        wait_for("no process", lambda: not processes_of(host.directory(spec)), 60)
        host.start()
        assert host.deployer.states()[spec.id] == UnitState.STOPPED
        run(host.deployer.start(spec))
        run(host.deployer.remove(spec))
    finally:
        assert not host.close()


def test_what_cannot_be_done_has_no_plan(host: Host) -> None:
    with pytest.raises(UnknownDatabase):
        host.deployer.create(host.spec(db="postgresql"))
    for image in ("pypi:openslides==4.0", "pypi:openslides==../../etc", "docker:openslides", ""):
        with pytest.raises(UnknownImage):
            host.deployer.prepare(VersionSpec("x", image, "virtualenv"))
    with pytest.raises(ValueError, match="not an instance's id"):
        host.deployer.remove(host.spec(id="../../etc"))
