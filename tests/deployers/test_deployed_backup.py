"""Backups of real OpenSlides instances: what was in them is there again, wherever they are restored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployers.backups import archive as tar
from deployers.backups.store import Archive
from deployers.errors import ArchiveDamaged, ArchiveMissing, ArchiveUnfit, DeployError, NoRoom
from deployers.spec import InstanceSpec
from tests.deployers.host import SUPERADMIN_PASSWORD, Browser, Host, and_then_fails, dies_at, run, version


def logged_in(host: Host, spec: InstanceSpec) -> Browser:
    browser = Browser(host.deployer.url(spec.location))
    assert browser.login("admin", SUPERADMIN_PASSWORD)
    return browser


def media(host: Host, spec: InstanceSpec) -> Path:
    return host.directory(spec) / "data" / "media"


def with_data(host: Host, release: str = "3.3") -> InstanceSpec:
    """An instance with a topic and an uploaded file."""
    spec = host.create(release)
    logged_in(host, spec).add_topic("Before")
    (media(host, spec) / "motion").mkdir()
    (media(host, spec) / "motion" / "1.pdf").write_bytes(b"as it was")
    return spec


def topics(host: Host, spec: InstanceSpec) -> list[str]:
    return logged_in(host, spec).topics()


def uploaded(host: Host, spec: InstanceSpec) -> dict[str, bytes]:
    root = media(host, spec)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def archive_of(host: Host, spec: InstanceSpec) -> Archive:
    """Without the instance's id in its name, of which nothing may be left at the end."""
    return host.archive(f"port-{spec.port}")


AS_IT_WAS = {"motion/1.pdf": b"as it was"}


@pytest.fixture(scope="module")
def kept(host: Host) -> Archive:
    """A backup of an instance with data, which is gone since."""
    source = with_data(host)
    archive = host.archive("kept")
    run(host.deployer.remove(source, archive))
    return archive


def change(host: Host, spec: InstanceSpec) -> None:
    logged_in(host, spec).add_topic("After")
    (media(host, spec) / "motion" / "1.pdf").write_bytes(b"changed")
    (media(host, spec) / "2.pdf").write_bytes(b"new")


def test_another_instance_is_made_of_a_backup_of_one_that_runs(host: Host) -> None:
    source = with_data(host)
    archive = archive_of(host, source)
    run(host.deployer.backup(source, archive))
    change(host, source)
    clone = host.spec()
    run(host.deployer.create(clone, archive))
    assert topics(host, clone) == ["Before"]
    assert uploaded(host, clone) == AS_IT_WAS
    assert topics(host, source) == ["Before", "After"]
    assert not (host.directory(source) / "staging").exists()
    for spec in (source, clone):
        run(host.deployer.remove(spec))
        assert host.nothing_left_of(spec)


@pytest.mark.parametrize("running", [True, False])
def test_a_restore_brings_data_and_files_back(host: Host, running: bool) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    change(host, spec)
    if not running:
        run(host.deployer.stop(spec))
    run(host.deployer.restore(spec, version("3.3"), "20", archive, running=running))
    if not running:
        run(host.deployer.start(spec))
    assert topics(host, spec) == ["Before"]
    assert uploaded(host, spec) == AS_IT_WAS
    run(host.deployer.remove(spec))


def test_a_restore_after_an_update_brings_the_old_version_back(host: Host) -> None:
    spec = with_data(host, "3.2")
    run(host.deployer.update(spec, version("3.3"), token="21", archive=archive_of(host, spec)))
    updated = host.spec("3.3", id=spec.id, port=spec.port)
    change(host, updated)
    run(host.deployer.restore(updated, version("3.2"), "22", archive_of(host, spec)))
    after = logged_in(host, spec)
    assert after.version() == "3.2"
    assert after.topics() == ["Before"]
    run(host.deployer.remove(spec))


def test_openslides_2_is_restored_and_found_healthy(host: Host) -> None:
    spec = host.create("2.3")
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    (media(host, spec) / "new").write_bytes(b"new")
    run(host.deployer.restore(spec, version("2.3"), "27", archive))
    browser = Browser(host.deployer.url(spec.location), 2)
    assert browser.login("admin", SUPERADMIN_PASSWORD)
    assert browser.version() == "2.3"
    assert uploaded(host, spec) == {}
    run(host.deployer.remove(spec))


def test_a_damaged_backup_does_not_even_stop_the_instance(host: Host) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    pid = host.pid(spec)
    path = host.data_dir / "backups" / archive.name
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ArchiveDamaged):
        run(host.deployer.restore(spec, version("3.3"), "28", archive))
    assert host.pid(spec) == pid
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("event", [2, 6, 10, 14, 18, 22])
def test_a_going_back_from_a_restore_that_was_interrupted_loses_nothing(host: Host, event: int) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    change(host, spec)
    plan = host.deployer.restore(spec, version("3.3"), "29", archive)
    run(plan)
    (undo,) = (step.undo for step in plan if step.undo is not None)
    assert dies_at(event, lambda: undo(lambda text: None))
    undo(lambda text: None)
    assert topics(host, spec) == ["Before", "After"]
    assert uploaded(host, spec) == {"motion/1.pdf": b"changed", "2.pdf": b"new"}
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_a_restore_that_fails_at_any_step_changes_nothing(host: Host) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    change(host, spec)
    for number, step in enumerate(host.deployer.restore(spec, version("3.3"), "23", archive)):
        plan = host.deployer.restore(spec, version("3.3"), f"23{number}", archive)
        with pytest.raises(DeployError, match="No space left"):
            run(and_then_fails(plan, after=step.name))
        assert topics(host, spec) == ["Before", "After"]
        assert uploaded(host, spec) == {"motion/1.pdf": b"changed", "2.pdf": b"new"}
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("event", [3, 9, 15, 21, 27, 33])
def test_a_restore_goes_on_after_a_death_at_any_instruction(host: Host, event: int) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    change(host, spec)
    assert dies_at(event, lambda: run(host.deployer.restore(spec, version("3.3"), "24", archive)))
    run(host.deployer.restore(spec, version("3.3"), "24", archive))
    assert topics(host, spec) == ["Before"]
    assert uploaded(host, spec) == AS_IT_WAS
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_a_removal_writes_a_last_backup_from_which_the_instance_comes_back(host: Host) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    run(host.deployer.remove(spec, archive))
    assert host.nothing_left_of(spec)
    run(host.deployer.remove(spec, archive))
    run(host.deployer.create(spec, archive))
    assert topics(host, spec) == ["Before"]
    assert uploaded(host, spec) == AS_IT_WAS
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("event", [2, 6, 10, 14, 18, 22, 26, 30])
def test_a_creation_from_a_backup_goes_on_after_a_death_at_any_instruction(
    host: Host, kept: Archive, event: int
) -> None:
    clone = host.spec()
    assert dies_at(event, lambda: run(host.deployer.create(clone, kept)))
    run(host.deployer.create(clone, kept))
    assert topics(host, clone) == ["Before"]
    assert uploaded(host, clone) == AS_IT_WAS
    run(host.deployer.remove(clone))
    assert host.nothing_left_of(clone)


@pytest.mark.parametrize("event", [1, 3, 5, 7, 9, 11, 13])
def test_a_backup_and_a_last_one_go_on_after_a_death_at_any_instruction(host: Host, event: int) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    assert dies_at(event, lambda: run(host.deployer.backup(spec, archive)))
    run(host.deployer.backup(spec, archive))
    dies_at(2 * event, lambda: run(host.deployer.remove(spec, archive)))
    run(host.deployer.remove(spec, archive))
    assert host.nothing_left_of(spec)
    run(host.deployer.create(spec, archive))
    assert topics(host, spec) == ["Before"]
    assert uploaded(host, spec) == AS_IT_WAS
    run(host.deployer.remove(spec))


def test_a_creation_that_is_run_again_keeps_what_was_written_meanwhile(host: Host, kept: Archive) -> None:
    clone = host.spec()
    run(host.deployer.create(clone, kept))
    change(host, clone)
    run(host.deployer.create(clone, kept))
    assert topics(host, clone) == ["Before", "After"]
    run(host.deployer.remove(clone))


def test_what_a_try_with_another_backup_left_is_not_taken_for_this_one(host: Host) -> None:
    source = with_data(host)
    first, second = host.archive("first"), host.archive("second")
    run(host.deployer.backup(source, first))
    change(host, source)
    run(host.deployer.backup(source, second))
    clone = host.spec()
    run(host.deployer.create(clone, first))
    run(host.deployer.create(clone, second))
    assert topics(host, clone) == ["Before", "After"]
    assert uploaded(host, clone) == {"motion/1.pdf": b"changed", "2.pdf": b"new"}
    for spec in (source, clone):
        run(host.deployer.remove(spec))


def test_the_backup_of_an_update_that_is_run_again_holds_the_data_from_before(host: Host) -> None:
    """Also when the worker died between the switch and its mark: the migrated data are in place then."""
    spec = with_data(host, "3.2")
    archive = archive_of(host, spec)
    plan = host.deployer.update(spec, version("3.3"), token="27", archive=archive)
    names = [step.name for step in plan]
    run(plan, only=names.index("switch to OpenSlides 3.3") + 1)
    (host.directory(spec) / "previous" / "27" / "switched").unlink()
    before = archive.store.facts(archive.name)
    run(plan)
    assert archive.store.facts(archive.name) == before
    run(host.deployer.verify(version("3.2"), "sqlite", archive))
    run(host.deployer.remove(spec))


def test_a_backup_of_another_kind_of_database_is_refused(host: Host) -> None:
    archive = host.archive("postgresql")
    with tar.writing(archive) as writer:
        writer.manifest(tar.Manifest(1, "", "", "", "", "3.3", "", "postgresql", "", ""))
        writer.text("database", "PGDMP")
    clone = host.spec()
    with pytest.raises(ArchiveUnfit, match="holds a postgresql database, and the instance has sqlite"):
        run(host.deployer.create(clone, archive))
    assert host.nothing_left_of(clone)


def test_a_damaged_or_missing_backup_changes_nothing(host: Host) -> None:
    spec = with_data(host)
    archive = archive_of(host, spec)
    with pytest.raises(ArchiveMissing):
        run(host.deployer.restore(spec, version("3.3"), "25", archive))
    run(host.deployer.backup(spec, archive))
    path = host.data_dir / "backups" / archive.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    change(host, spec)
    with pytest.raises(ArchiveDamaged):
        run(host.deployer.restore(spec, version("3.3"), "25", archive))
    assert topics(host, spec) == ["Before", "After"]
    clone = host.spec()
    with pytest.raises(ArchiveDamaged):
        run(host.deployer.create(clone, archive))
    assert host.nothing_left_of(clone)
    run(host.deployer.remove(spec))


def test_a_backup_of_another_release_is_refused(host: Host) -> None:
    spec = with_data(host, "3.2")
    archive = archive_of(host, spec)
    run(host.deployer.backup(spec, archive))
    clone = host.spec("3.3")
    with pytest.raises(ArchiveUnfit, match=r"3\.2"):
        run(host.deployer.create(clone, archive))
    assert host.nothing_left_of(clone)
    run(host.deployer.remove(spec))


def test_a_verification_reads_all_of_it_and_leaves_nothing(host: Host, kept: Archive) -> None:
    archive = host.archive("damaged")
    for end in ("", ".json"):
        shutil.copy(host.data_dir / "backups" / f"{kept.name}{end}", host.data_dir / "backups" / f"{archive.name}{end}")
    before = sorted(path.name for path in (host.data_dir / "instances").iterdir())
    plan = host.deployer.verify(version("3.3"), "sqlite", archive)
    run(plan)
    for event in (2, 6):
        assert dies_at(event, lambda: run(plan))
        run(plan)
    assert sorted(path.name for path in (host.data_dir / "instances").iterdir()) == before
    path = host.data_dir / "backups" / archive.name
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DeployError):
        run(plan)
    assert sorted(path.name for path in (host.data_dir / "instances").iterdir()) == before


def test_without_room_nothing_is_touched(host: Host) -> None:
    spec = with_data(host, "3.2")
    pid = host.pid(spec)
    large = media(host, spec) / "large"
    with large.open("wb") as stream:
        stream.truncate(1 << 43)
    with pytest.raises(NoRoom, match="the backup store"):
        run(host.deployer.update(spec, version("3.3"), token="26", archive=archive_of(host, spec)))
    assert host.pid(spec) == pid
    large.unlink()
    run(host.deployer.remove(spec))
