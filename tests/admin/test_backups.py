"""Backups in the admin: on an instance's page, in their list, and what is asked before something is lost."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from instances import archives
from instances.choices import BackupReason, Desired, OperationKind, Outcome, State
from instances.models import Backup, Instance, Operation
from tests.admin.conftest import signed_in
from tests.factories import make_backup, make_domain, make_host, make_installed, make_instance, make_operation

CONTENT = b"archive" * 1000


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.BACKUP_DIR = tmp_path / "backups"


@pytest.fixture
def removed(db: None) -> Instance:
    return make_installed(removed_at=timezone.now(), desired_state=Desired.REMOVED, observed_state=State.STOPPED)


def stored(**values: Any) -> Backup:
    """With its archive."""
    backup = make_backup(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), **values)
    with archives.store().write(backup.name) as stream:
        stream.write(CONTENT)
    return backup


def of(view: str, row: Instance | Backup) -> str:
    return reverse(f"admin:instances_{row._meta.model_name}_{view}", args=(row.pk,))


def shown(client: Client, instance: Instance) -> set[str]:
    section = client.get(of("change", instance)).context["head"].backups
    names = ("make", "clone", "bring_back", "purge", "may_restore", "may_download")
    return {name for name in names if section is not None and getattr(section, name)}


def test_the_instance_page_offers_what_makes_sense(browser: Client, removed: Instance) -> None:
    installed = make_installed()
    assert shown(browser, installed) == {"make", "clone", "may_restore", "may_download"}
    make_operation(instance=installed)
    assert shown(browser, installed) == {"may_download"}
    assert shown(browser, make_instance()) == set()
    assert shown(browser, removed) == {"may_download"}
    make_backup(instance=removed)
    assert shown(browser, removed) == {"bring_back", "purge", "may_download"}


def test_who_may_not_see_backups_sees_none(db: None) -> None:
    backup = make_backup()
    for permissions in (["view_instance"], ["view_instance", "view_backup"]):
        client = signed_in(*permissions)
        page = client.get(of("change", backup.instance)).content.decode()
        assert (of("change", backup) in page) == ("view_backup" in permissions)
        assert shown(client, backup.instance) == set()


def test_a_backup_is_asked_for_on_the_instance_page(browser: Client) -> None:
    instance = make_installed()
    response: Any = browser.post(of("backup", instance))
    assert response.url == of("change", instance)
    assert Operation.objects.get().kind == OperationKind.BACKUP
    assert Backup.objects.get().created_by is not None


def test_a_schedule_is_set_in_the_form(browser: Client) -> None:
    instance = make_installed()
    form = {"event_organizer": "", "backup_hours": "24", "idle_minutes": "15", "workers": "1"}
    browser.post(of("change", instance), form)
    assert Instance.objects.get().backup_hours == 24
    assert not Operation.objects.exists()


def test_a_scheduled_backup_that_failed_is_said(browser: Client) -> None:
    instance = make_installed(backup_hours=24)
    make_operation(
        instance=instance,
        kind=OperationKind.BACKUP,
        status=Outcome.FAILED,
        finished_at=timezone.now(),
        error="No space left on device",
    )
    assert "The last scheduled backup failed." in browser.get(of("change", instance)).content.decode()


def test_the_list_costs_the_same_whatever_its_length(browser: Client) -> None:
    counts = []
    for more in (2, 20):
        for _ in range(more):
            make_backup()
        with CaptureQueriesContext(connection) as queries:
            page = browser.get(reverse("admin:instances_backup_changelist")).content.decode()
        assert page.count('class="mi-badge"') == Backup.objects.count()
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_list_is_searched_and_filtered(browser: Client, removed: Instance) -> None:
    mine, other = make_backup(instance=removed, reason=BackupReason.REMOVE), make_backup()
    address = reverse("admin:instances_backup_changelist")
    for query in (f"?q={removed.slug}", f"?q={removed.pk}", "?removed=yes", "?reason__exact=remove"):
        page = browser.get(address + query).content.decode()
        assert of("change", mine) in page, query
        assert of("change", other) not in page, query


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "complete"),
        ({"completed_at": None}, "not complete"),
        ({"verified_at": timezone.now()}, "verified"),
        ({"verified_at": timezone.now(), "problem": "Its end is missing."}, "damaged"),
    ],
)
def test_a_badge_says_how_good_a_backup_is(browser: Client, values: dict[str, Any], word: str) -> None:
    backup = make_backup(**values)
    listed = browser.get(reverse("admin:instances_backup_changelist"), {"quality": word.replace("not ", "in")})
    assert of("change", backup) in listed.content.decode()
    answer = browser.get(reverse("admin:instances_backup_badges"), {"ids": backup.pk})
    assert answer.json()["rows"][str(backup.pk)]["label"] == word
    page = browser.get(of("change", backup)).content.decode()
    assert f">{word}<" in page
    assert ("Its end is missing." in page) == ("problem" in values)


def test_the_archive_is_downloaded(browser: Client) -> None:
    answer: Any = browser.get(of("download", stored()))
    assert b"".join(answer.streaming_content) == CONTENT
    assert answer.headers["Content-Length"] == str(len(CONTENT))


def test_an_archive_that_is_gone_is_a_message(browser: Client) -> None:
    page = browser.get(of("download", make_backup()), follow=True).content.decode()
    assert "There is no backup" in page


def test_a_restore_asks_first_and_says_what_is_lost(browser: Client) -> None:
    backup = stored()
    page = browser.get(of("restore", backup)).content.decode()
    assert "This is lost:" in page
    assert not Operation.objects.exists()
    response: Any = browser.post(of("restore", backup), {"safety": "on"})
    assert response.url == of("change", backup.instance)
    operation = Operation.objects.get()
    assert (operation.kind, operation.backup) == (OperationKind.RESTORE, backup)
    assert operation.safety_backup is not None


def test_a_restore_without_a_safety_backup(browser: Client) -> None:
    browser.post(of("restore", stored()), {})
    assert Operation.objects.get().safety_backup is None


def test_a_refused_restore_says_why(browser: Client) -> None:
    backup = stored()
    make_operation(instance=backup.instance)
    page = browser.post(of("restore", backup), {}).content.decode()
    assert "is not finished. Wait until it is" in page


@pytest.mark.parametrize("source", ["instance", "backup"])
def test_a_clone_needs_a_name(browser: Client, source: str) -> None:
    backup = stored()
    domain = make_domain()
    address = of("clone", backup.instance if source == "instance" else backup)
    assert browser.get(address).status_code == 200
    for slug, said in (("Not a name", "Use 1 to 63"), ("", "This field is required"), (backup.instance.slug, None)):
        page = browser.post(address, {"slug": slug, "domain": backup.instance.domain_id}).content.decode()
        assert (said or "There is an instance with this slug in this domain already.") in page
    assert Instance.objects.count() == 1
    response: Any = browser.post(address, {"slug": "copy", "domain": domain.pk})
    copy = Instance.objects.get(slug="copy")
    assert response.url == of("change", copy)
    assert (copy.domain, copy.version) == (domain, backup.version)


def test_what_was_removed_is_brought_back(browser: Client, removed: Instance) -> None:
    stored(instance=removed, problem="Its end is missing.", completed_at=timezone.now())
    older = stored(instance=removed, created_at=timezone.now() - timedelta(days=1))
    page = browser.get(of("bring_back", removed))
    assert page.context["form"].fields["backup"].initial == older.pk
    other = stored()
    assert browser.post(of("bring_back", removed), {"backup": other.pk}).status_code == 200
    browser.post(of("bring_back", removed), {"backup": older.pk})
    operation = Operation.objects.get()
    assert (operation.kind, operation.instance, operation.backup) == (OperationKind.CREATE, removed, older)


def test_what_cannot_come_back_says_why(browser: Client, removed: Instance) -> None:
    backup = stored(instance=removed)
    make_installed(slug=removed.slug, domain=removed.domain)
    page = browser.post(of("bring_back", removed), {"backup": backup.pk}).content.decode()
    assert "There is an instance with this slug in this domain already." in page
    assert Instance.objects.get(pk=removed.pk).removed_at is not None


def test_a_purge_takes_the_slug_as_confirmation(browser: Client, removed: Instance) -> None:
    stored(instance=removed)
    assert "The backup of" in browser.get(of("purge", removed)).content.decode()
    assert "That is not its slug" in browser.post(of("purge", removed), {"slug": "other"}).content.decode()
    assert not Operation.objects.exists()
    browser.post(of("purge", removed), {"slug": removed.slug})
    assert Operation.objects.get().kind == OperationKind.PURGE


def test_a_backup_is_deleted_after_a_question(browser: Client) -> None:
    backup = stored()
    assert "It is the last good backup" in browser.get(of("delete", backup)).content.decode()
    browser.post(of("delete", backup))
    assert not Backup.objects.exists()
    assert archives.store().names() == []


def test_a_backup_that_is_needed_is_not_deleted(browser: Client) -> None:
    backup = stored()
    make_operation(instance=backup.instance, kind=OperationKind.RESTORE, backup=backup, version=backup.version)
    page = browser.post(of("delete", backup), follow=True).content.decode()
    assert "needs this backup" in page
    assert archives.store().names() == [backup.name]


def test_a_verification_is_asked_for(browser: Client) -> None:
    backup = stored()
    browser.post(of("verify", backup))
    assert Operation.objects.get().kind == OperationKind.VERIFY
    assert "In use by:" in browser.get(of("change", backup)).content.decode()


@pytest.mark.parametrize(
    ("view", "model", "needed"),
    [
        ("backup", "instance", ["add_backup"]),
        ("clone", "instance", ["add_instance", "restore_backup"]),
        ("bring_back", "instance", ["add_instance", "restore_backup"]),
        ("purge", "instance", ["delete_instance", "purge_instance"]),
        ("restore", "backup", ["restore_backup"]),
        ("clone", "backup", ["add_instance", "restore_backup"]),
        ("verify", "backup", ["change_backup"]),
        ("download", "backup", ["download_backup"]),
        ("delete", "backup", ["delete_backup"]),
    ],
)
def test_each_way_needs_its_permissions(db: None, view: str, model: str, needed: list[str]) -> None:
    backup = stored()
    row = backup if model == "backup" else backup.instance
    for index in range(len(needed)):
        client = signed_in("view_instance", "view_backup", *needed[:index], *needed[index + 1 :])
        answers = {client.post(of(view, row)).status_code, client.get(of(view, row)).status_code}
        assert answers <= {403, 405}
    assert not Operation.objects.exists()
    allowed = signed_in("view_instance", "view_backup", *needed)
    assert {allowed.get(of(view, row)).status_code, allowed.post(of(view, row), {}).status_code} & {200, 302}


@pytest.mark.parametrize("view", ["restore", "clone", "verify", "download", "delete"])
def test_what_there_is_not_is_not_found(browser: Client, view: str) -> None:
    assert make_host().pk
    for key in (4711, 2**70):
        address = reverse(f"admin:instances_backup_{view}", args=(key,))
        assert {browser.get(address).status_code, browser.post(address, {}).status_code} <= {404, 405}


def test_the_first_page_says_that_backups_are_damaged(browser: Client) -> None:
    backup = make_backup(problem="Its end is missing.")
    page = browser.get(reverse("admin:index")).content.decode()
    assert "1 backup is damaged." in page
    assert "?quality=damaged" in page
    assert "damaged" not in signed_in("view_instance").get(reverse("admin:index")).content.decode()
    assert (
        of("change", backup)
        in browser.get(reverse("admin:instances_backup_changelist") + "?quality=damaged").content.decode()
    )
