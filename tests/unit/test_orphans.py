"""What belongs to no instance is listed, and removed when somebody says so; nothing else ever is."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from deployers.layout import EmbeddedLayout
from instances import operations, orphans
from instances.archives import store
from instances.choices import Desired, OrphanKind
from instances.deployment import deployer_for
from instances.models import Host, Instance, Orphan
from instances.operations import SYSTEM
from tests.factories import make_host, make_installed, make_instance

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return make_host()


@pytest.fixture
def layout(settings: Settings) -> Iterator[EmbeddedLayout]:
    """An empty host of its own, in a short directory: a unix socket's path has 107 bytes at most (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="mi-") as directory:
        settings.DATA_DIR = Path(directory, "data")
        settings.BACKUP_DIR = Path(directory, "backups")
        deployer_for.cache_clear()
        yield EmbeddedLayout(settings.DATA_DIR)
        deployer_for.cache_clear()


def directory(layout: EmbeddedLayout, number: str) -> Path:
    made = layout.instance(number).directory
    (made / "data").mkdir(parents=True)
    return made


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
    orphans.ask_removal(orphan, None)
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
    orphans.ask_removal(Orphan.objects.get(), None)
    Instance.objects.filter(pk=make_installed(host=host).pk).update(id=number)
    orphans.remove_due(host)
    assert made.exists()
    assert not Orphan.objects.exists()


def test_an_archive_without_a_row_is_found_and_removed(host: Host, layout: EmbeddedLayout) -> None:
    with store().write("a/x.tar") as stream:
        stream.write(b"x")
    orphans.look_for(host)
    (orphan,) = Orphan.objects.all()
    assert (orphan.kind, orphan.name) == (OrphanKind.BACKUP, "a/x.tar")
    orphans.ask_removal(orphan, None)
    orphans.remove_due(host)
    assert store().names() == []


def test_what_cannot_be_removed_says_why(host: Host, layout: EmbeddedLayout) -> None:
    orphan = Orphan.objects.create(host=host, kind=OrphanKind.DIRECTORY, name="x", instance_id="not-an-id")
    orphans.ask_removal(orphan, None)
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
    with pytest.raises(CommandError, match="--yes"):
        call_command("orphan", "remove", "--all")
    with pytest.raises(CommandError, match="no orphan"):
        call_command("orphan", "remove", "nothing", "--yes")
    call_command("orphan", "remove", str(made), "--yes", stdout=out)
    assert Orphan.objects.get().removal_asked_at is not None
    orphans.remove_due(host)
    call_command("orphan", "list", stdout=out)
    assert "Nothing is left over." in out.getvalue()
