"""What a host has and no instance owns: found on the real thing, part by part, and taken away."""

from __future__ import annotations

import secrets

import pytest

from deployers.errors import DeployError
from deployers.files import GONE
from deployers.spec import OrphanSpec
from deployers.states import UnitState
from tests.deployers.host import Browser, Host
from tests.observing import processes_of, wait_for


def found(host: Host, *known: str) -> set[tuple[str, str]]:
    return {(orphan.kind, orphan.instance_id) for orphan in host.deployer.orphans(known)}


def test_an_instance_that_nobody_knows_is_found_whole_and_its_neighbour_is_not_touched(host: Host) -> None:
    lost, neighbour = host.create(), host.create()
    assert found(host, lost.id, neighbour.id) == set()
    assert found(host, neighbour.id) == {("directory", lost.id), ("service", lost.id)}
    for orphan in host.deployer.orphans([neighbour.id]):
        host.deployer.remove_orphan(orphan)
        host.deployer.remove_orphan(orphan)
    assert host.nothing_left_of(lost)
    assert Browser(host.deployer.url(neighbour.location)).version() == "3.3"
    assert found(host, neighbour.id) == set()
    for orphan in host.deployer.orphans([]):
        host.deployer.remove_orphan(orphan)
    assert host.nothing_left_of(neighbour)


def test_who_removes_the_files_only_ends_what_uses_them(host: Host) -> None:
    """Otherwise a process without its files would go on, and make some of them again."""
    lost = host.create()
    host.deployer.remove_orphan(OrphanSpec("directory", "", lost.id))
    assert host.nothing_left_of(lost)


def test_a_service_without_its_file_is_found_while_it_runs(host: Host) -> None:
    lost = host.create()
    (host.data_dir / "supervisor" / "instances.d" / f"{lost.id}.conf").unlink()
    host.deployer.remove_orphan(OrphanSpec("address", "nothing", lost.id))
    assert host.deployer.states()[lost.id] in (UnitState.STARTING, UnitState.RUNNING)
    assert ("service", lost.id) in found(host)
    host.deployer.remove_orphan(OrphanSpec("service", lost.id, lost.id))
    wait_for("its process has ended", lambda: not processes_of(host.directory(lost)))
    assert found(host) == {("directory", lost.id)}
    host.deployer.remove_orphan(OrphanSpec("directory", "", lost.id))


def test_files_that_are_not_of_an_instance_are_nobody_s_business(host: Host) -> None:
    instances, number = host.data_dir / "instances", secrets.token_hex(16)
    instances.mkdir(exist_ok=True)
    others = [instances / name for name in ("lost+found", number[1:], f"{number}.old", f".{number}.new")]
    for other in others:
        other.mkdir()
    (host.data_dir / "supervisor" / "instances.d" / "mine.conf").write_text("")
    (instances / f".{number}{GONE}").mkdir()
    assert found(host) == {("directory", number)}
    host.deployer.remove_orphan(OrphanSpec("directory", "", number))
    assert found(host) == set()
    assert all(other.exists() for other in others)
    for other in others:
        other.rmdir()
    (host.data_dir / "supervisor" / "instances.d" / "mine.conf").unlink()


def test_files_are_found_also_while_no_supervisord_runs(host: Host) -> None:
    lost = host.create()
    host.stop()
    try:
        assert found(host) == {("directory", lost.id), ("service", lost.id)}
        for orphan in host.deployer.orphans([]):
            host.deployer.remove_orphan(orphan)
        assert found(host) == set()
    finally:
        host.start()
    assert host.nothing_left_of(lost)


@pytest.mark.parametrize("number", ["", "..", "x", "0" * 31, "0" * 32 + "/.."])
def test_nothing_is_removed_for_what_is_no_id(host: Host, number: str) -> None:
    # What is of no instance is a version's.
    error, words = (ValueError, "not an instance's id") if number else (DeployError, "not the directory of a version")
    with pytest.raises(error, match=words):
        host.deployer.remove_orphan(OrphanSpec("directory", "", number))


def test_a_kind_that_is_not_known_is_refused(host: Host) -> None:
    with pytest.raises(DeployError, match="planet"):
        host.deployer.remove_orphan(OrphanSpec("planet", "", "0" * 32))
