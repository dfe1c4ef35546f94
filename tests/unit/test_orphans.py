"""What belongs to no instance is listed, and removed when somebody says so; nothing else ever is."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from deployers.backups.verifying import scratch_id
from deployers.errors import StoreFailed
from deployers.layout import EmbeddedLayout
from deployers.plan import Log, Step
from deployers.spec import OrphanSpec, VersionSpec
from instances import operations, orphans, runner, tasks, turns
from instances.archives import store
from instances.choices import Desired, HostKind, OperationKind, OrphanKind, Outcome
from instances.deployment import UnsupportedHost, deployer_for
from instances.models import Host, Instance, Operation, Orphan
from instances.operations import SYSTEM
from tests.factories import make_backup, make_host, make_installed, make_instance, make_operation, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return make_host()


@pytest.fixture
def layout(settings: Settings) -> Iterator[EmbeddedLayout]:
    """An empty host of its own, in a short directory: a unix socket's path has 107 bytes at most (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="mi-") as directory:
        settings.DATA_DIR = Path(directory, "data")
        settings.DATA_DIR.mkdir()
        settings.BACKUP_DIR = Path(directory, "backups")
        deployer_for.cache_clear()
        yield EmbeddedLayout(settings.DATA_DIR)
        deployer_for.cache_clear()


def directory(layout: EmbeddedLayout, number: str) -> Path:
    made = layout.instance(number).directory
    (made / "data").mkdir(parents=True)
    return made


def write(name: str) -> None:
    with store().write(name) as stream:
        stream.write(b"x")


def listed() -> set[tuple[str, str]]:
    return set(Orphan.objects.values_list("kind", "instance_id"))


def test_what_no_row_owns_is_listed_once_and_until_it_is_gone(host: Host, layout: EmbeddedLayout) -> None:
    number = secrets.token_hex(16)
    made = directory(layout, number)
    layout.supervisor_instances.mkdir(parents=True)
    (layout.supervisor_instances / f"{number}.conf").write_text("")
    (made.parent / "somebody-else").mkdir()
    for _again in range(2):
        orphans.look_for(host)
        assert listed() == {(OrphanKind.DIRECTORY, number), (OrphanKind.SERVICE, number)}
    (layout.supervisor_instances / f"{number}.conf").unlink()
    orphans.look_for(host)
    assert listed() == {(OrphanKind.DIRECTORY, number)}


def test_what_an_interrupted_removal_left_is_found(host: Host, layout: EmbeddedLayout) -> None:
    number = secrets.token_hex(16)
    made = directory(layout, number)
    made.rename(made.with_name(f".{number}.gone"))
    orphans.look_for(host)
    (orphan,) = Orphan.objects.all()
    orphans.ask_removal([orphan], None)
    orphans.remove_due(host)
    assert not list(made.parent.iterdir())
    assert not Orphan.objects.exists()


@pytest.mark.parametrize("installed", [True, False])
def test_what_a_row_owns_is_none(host: Host, layout: EmbeddedLayout, installed: bool) -> None:
    instance = (make_installed if installed else make_instance)(host=host)
    directory(layout, instance.pk)
    orphans.look_for(host)
    assert not Orphan.objects.exists()


def test_what_is_being_removed_is_none_and_what_was_removed_is_one(host: Host, layout: EmbeddedLayout) -> None:
    instance = make_installed(host=host, removed_at=timezone.now(), desired_state=Desired.REMOVED)
    directory(layout, instance.pk)
    operation = operations.purge(instance, SYSTEM)
    orphans.look_for(host)
    assert not Orphan.objects.exists()
    operations.cancel(operation, SYSTEM)
    orphans.look_for(host)
    assert listed() == {(OrphanKind.DIRECTORY, instance.pk)}


def test_nothing_is_removed_before_somebody_says_so_or_the_time_is_over(
    host: Host, layout: EmbeddedLayout, settings: Settings
) -> None:
    made = directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    Orphan.objects.update(first_seen_at=timezone.now() - timedelta(days=8))
    orphans.remove_due(host)
    assert made.exists()
    settings.ORPHAN_DAYS = 7
    orphans.remove_due(host)
    assert not made.exists()
    assert not Orphan.objects.exists()


def test_one_that_got_a_row_meanwhile_is_left_alone(host: Host, layout: EmbeddedLayout) -> None:
    number = secrets.token_hex(16)
    made = directory(layout, number)
    orphans.look_for(host)
    orphans.ask_removal([Orphan.objects.get()], None)
    Instance.objects.filter(pk=make_installed(host=host).pk).update(id=number)
    orphans.remove_due(host)
    assert made.exists()
    assert not Orphan.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_who_brings_the_instance_back_waits_for_a_removal_that_has_begun(
    host: Host, layout: EmbeddedLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for it does not wait, and nobody else's writing does; the creation is run when the removal is over."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.1)
    instance = make_installed(host=host, removed_at=timezone.now(), desired_state=Desired.REMOVED)
    make_backup(instance=instance, completed_at=timezone.now())
    made = directory(layout, instance.pk)
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)
    deployer, order = deployer_for(host.kind), []
    remove = deployer.remove_orphan

    def create(log: Log) -> None:
        assert not made.exists()
        order.append("created")

    def bring_back() -> None:
        operation = operations.bring_back(Instance.objects.get(pk=instance.pk), SYSTEM)
        order.append("asked for")
        runner.run(operation.pk)
        operation.refresh_from_db()
        assert operation.status == Outcome.QUEUED
        connection.close()

    def meanwhile(orphan: OrphanSpec) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(bring_back).result(20)
        remove(orphan)
        order.append("removed")

    monkeypatch.setattr(deployer, "remove_orphan", meanwhile)
    monkeypatch.setattr(runner, "plan_of", lambda operation, instance: (Step("create", create),))
    orphans.remove_due(host)
    runner.run(Operation.objects.get().pk)
    assert order == ["asked for", "removed", "created"]


def test_what_an_operation_is_at_work_on_is_removed_later(host: Host, layout: EmbeddedLayout) -> None:
    number = secrets.token_hex(16)
    made = directory(layout, number)
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)
    with turns.turn(number):
        orphans.remove_due(host)
    assert made.exists()
    assert Orphan.objects.get().removal_asked_at is not None
    orphans.remove_due(host)
    assert not made.exists()


@pytest.mark.django_db(transaction=True)
def test_a_removal_waits_for_one_that_is_under_way_and_is_not_left_to_the_next_search(
    host: Host, layout: EmbeddedLayout
) -> None:
    made = directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)

    def remove() -> None:
        orphans.remove_due(host)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        with turns.turn(f"orphans of host {host.pk}"):
            asked = thread.submit(remove)
            assert made.exists()
        asked.result(60)
    assert not made.exists()
    assert not Orphan.objects.exists()


def prepared(layout: EmbeddedLayout, name: str) -> Path:
    made = layout.data_dir / "versions" / name
    made.mkdir(parents=True)
    (made / "prepared.json").touch()
    return made


def test_what_was_prepared_of_a_version_that_is_gone_is_found_and_removed(host: Host, layout: EmbeddedLayout) -> None:
    """The message to take it away was lost."""
    make_version(image="pypi:openslides==3.3")
    kept = [prepared(layout, name) for name in ("pypi-openslides-3.3", "pypi-openslides-3.3.coming")]
    lost = [prepared(layout, "pypi-openslides-3.2"), prepared(layout, ".pypi-openslides-3.1.gone")]
    orphans.look_for(host)
    assert {Path(orphan.name).name for orphan in Orphan.objects.all()} == {"pypi-openslides-3.2", "pypi-openslides-3.1"}
    assert "can be prepared again" in orphans.loss(Orphan.objects.all()[0])
    orphans.ask_removal(Orphan.objects.all(), None)
    orphans.remove_due(host)
    assert [path.exists() for path in (*kept, *lost)] == [True, True, False, False]
    assert not Orphan.objects.exists()


def test_a_version_that_is_there_again_is_left_alone(host: Host, layout: EmbeddedLayout) -> None:
    made = prepared(layout, "pypi-openslides-3.2")
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)
    make_version(image="pypi:openslides==3.2")
    orphans.remove_due(host)
    assert made.exists()
    assert not Orphan.objects.exists()


def test_only_a_directory_of_a_version_is_removed_as_one(host: Host, layout: EmbeddedLayout) -> None:
    for name in ("versions/..", "versions/.x", "/"):
        orphan = Orphan.objects.create(host=host, kind=OrphanKind.DIRECTORY, name=name)
        orphans.ask_removal([orphan], None)
        orphans.remove_due(host)
        orphan.refresh_from_db()
        assert "not the directory of a version" in orphan.problem


def test_an_archive_without_a_row_is_found_and_removed(host: Host, layout: EmbeddedLayout) -> None:
    name = f"{secrets.token_hex(16)}/x.tar"
    write(name)
    write("somebody-elses.tar")
    orphans.look_for(host)
    (orphan,) = Orphan.objects.all()
    assert (orphan.kind, orphan.name, orphan.instance_id) == (OrphanKind.BACKUP, name, name[:32])
    orphans.ask_removal([orphan], None)
    orphans.remove_due(host)
    assert store().names() == ["somebody-elses.tar"]


def test_an_archive_that_has_its_row_is_none_and_is_not_removed(host: Host, layout: EmbeddedLayout) -> None:
    name = f"{secrets.token_hex(16)}/x.tar"
    write(name)
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)
    make_backup(name=name)
    orphans.remove_due(host)
    assert store().names() == [name]
    orphans.look_for(host)
    assert not Orphan.objects.exists()


def test_hosts_with_one_store_list_an_archive_once(host: Host, layout: EmbeddedLayout) -> None:
    other = make_host(name="other")
    write(f"{secrets.token_hex(16)}/x.tar")
    for _again in range(2):
        for each in (host, other):
            orphans.look_for(each)
        assert [orphan.host for orphan in Orphan.objects.all()] == [host]


def test_a_store_that_cannot_be_read_keeps_its_list_and_the_host_is_searched(
    host: Host, layout: EmbeddedLayout, settings: Settings
) -> None:
    write(f"{secrets.token_hex(16)}/x.tar")
    orphans.look_for(host)
    number = secrets.token_hex(16)
    directory(layout, number)
    settings.BACKUP_S3_BUCKET, settings.BACKUP_S3_ENDPOINT = "none", "http://127.0.0.1:9"
    settings.BACKUP_S3_ACCESS_KEY = settings.BACKUP_S3_SECRET_KEY = "key"
    with pytest.raises(StoreFailed):
        orphans.look_for(host)
    assert {kind for kind, _number in listed()} == {OrphanKind.BACKUP, OrphanKind.DIRECTORY}


def test_a_host_that_cannot_be_searched_keeps_its_list_and_the_store_is_searched(
    host: Host, layout: EmbeddedLayout
) -> None:
    directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    write(f"{secrets.token_hex(16)}/x.tar")
    Host.objects.update(kind=HostKind.SYSTEMD)
    host.refresh_from_db()
    with pytest.raises(UnsupportedHost):
        orphans.look_for(host)
    assert {kind for kind, _number in listed()} == {OrphanKind.BACKUP, OrphanKind.DIRECTORY}
    orphans.ask_removal(Orphan.objects.filter(kind=OrphanKind.DIRECTORY), None)
    orphans.remove_due(host)
    assert "systemd" in Orphan.objects.get(kind=OrphanKind.DIRECTORY).problem


def test_what_had_an_owner_while_the_host_was_searched_is_none(
    host: Host, layout: EmbeddedLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, removed, or verified in between: a search takes its time, and each of these may be shorter."""
    deployer, archive = deployer_for(host.kind), f"{secrets.token_hex(16)}/x.tar"
    search = deployer.orphans

    def meanwhile(known: Collection[str], versions: Collection[VersionSpec]) -> list[OrphanSpec]:
        new, gone = make_installed(host=host), make_installed(host=host)
        verification = make_operation(
            kind=OperationKind.VERIFY, host=host, instance=None, backup=make_backup(name=archive), version=new.version
        )
        for number in (new.pk, gone.pk, scratch_id(archive)):
            directory(layout, number)
        found = search(known, versions)
        now = timezone.now()
        Instance.objects.filter(pk=gone.pk).update(removed_at=now)
        Operation.objects.filter(pk=verification.pk).update(status=Outcome.SUCCEEDED, finished_at=now)
        assert len(found) == 3
        return found

    monkeypatch.setattr(deployer, "orphans", meanwhile)
    orphans.look_for(host)
    assert not Orphan.objects.exists()
    monkeypatch.undo()
    orphans.look_for(host)
    assert len(Orphan.objects.all()) == 2


def test_what_a_verification_uses_is_left_alone(host: Host, layout: EmbeddedLayout) -> None:
    backup = make_backup(name=f"{secrets.token_hex(16)}/x.tar")
    made = directory(layout, scratch_id(backup.name))
    orphans.look_for(host)
    orphans.ask_removal(Orphan.objects.all(), None)
    make_operation(kind=OperationKind.VERIFY, host=host, instance=None, backup=backup, version=backup.version)
    orphans.remove_due(host)
    assert made.exists()
    assert not Orphan.objects.exists()


def test_a_search_takes_the_same_queries_however_many_there_are(host: Host, layout: EmbeddedLayout) -> None:
    counts = []
    for _more in range(3):
        instance = make_installed(host=host)
        for number in (instance.pk, secrets.token_hex(16), secrets.token_hex(16)):
            directory(layout, number)
        with CaptureQueriesContext(connection) as queries:
            orphans.look_for(host)
        counts.append(len(queries))
    assert counts[0] == counts[1] == counts[2]


def test_what_was_asked_for_is_removed_by_its_host_s_worker_and_leaves_the_list(
    host: Host, layout: EmbeddedLayout
) -> None:
    """Also what went with it: a directory's service is ended first."""
    number = secrets.token_hex(16)
    made = directory(layout, number)
    layout.supervisor_instances.mkdir(parents=True)
    (layout.supervisor_instances / f"{number}.conf").write_text("")
    tasks.list_orphans(host.pk)
    assert len(listed()) == 2
    orphans.ask_removal(Orphan.objects.filter(kind=OrphanKind.DIRECTORY), None)
    tasks.remove_orphans(host.pk)
    assert not made.exists()
    assert not Orphan.objects.exists()


def test_asking_for_many_sends_each_host_one_message(
    host: Host, layout: EmbeddedLayout, django_capture_on_commit_callbacks: Any
) -> None:
    for _each in range(3):
        directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    with django_capture_on_commit_callbacks() as sent:
        orphans.ask_removal(Orphan.objects.all(), None)
    assert len(sent) == 1


def test_the_log_says_who_asked_for_it(host: Host, layout: EmbeddedLayout) -> None:
    directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    orphan = Orphan.objects.get()
    call_command("orphan", "remove", orphan.name, "--yes", stdout=StringIO())
    entry = LogEntry.objects.get_for_object(orphan).get()
    assert entry.additional_data["action"] == "removal asked for"
    assert (entry.additional_data["via"], bool(entry.additional_data["who"])) == ("command", True)


def test_what_cannot_be_removed_says_why(host: Host, layout: EmbeddedLayout) -> None:
    orphan = Orphan.objects.create(host=host, kind=OrphanKind.DIRECTORY, name="x", instance_id="not-an-id")
    orphans.ask_removal([orphan], None)
    orphans.remove_due(host)
    orphan.refresh_from_db()
    assert "not an instance's id" in orphan.problem
    assert orphan.removal_asked_at is None


def test_the_command_lists_them_and_asks_before_it_removes(host: Host, layout: EmbeddedLayout) -> None:
    made = directory(layout, secrets.token_hex(16))
    orphans.look_for(host)
    out = StringIO()
    call_command("orphan", "list", stdout=out)
    assert str(made) in out.getvalue()
    with pytest.raises(CommandError, match=r"All files of the instance[^$]*Say --yes"):
        call_command("orphan", "remove", "--all")
    with pytest.raises(CommandError, match="no orphan"):
        call_command("orphan", "remove", "nothing", "--yes")
    call_command("orphan", "remove", str(made), "--yes", stdout=out)
    assert Orphan.objects.get().removal_asked_at is not None
    orphans.remove_due(host)
    call_command("orphan", "list", stdout=out)
    assert "Nothing is left over." in out.getvalue()
