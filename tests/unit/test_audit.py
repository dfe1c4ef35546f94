"""Who did what is written down: by whom, which way, from where, before and after, and never a secret."""

from __future__ import annotations

import getpass
from base64 import b64encode
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances import audit, claims, looks, operations, orphans
from instances.archives import store
from instances.choices import Origin, OrphanKind, Preparation, State
from instances.errors import CannotCancel
from instances.history import change_state
from instances.models import Host, Orphan, StateChange, Version
from tests.factories import (
    PASSWORD,
    make_domain,
    make_host,
    make_installed,
    make_instance,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


def test_a_change_over_the_api_names_user_address_before_and_after(client: Client) -> None:
    make_user(username="ada", is_superuser=True)
    version = make_version(name="3.3-old")
    basic = b64encode(f"ada:{PASSWORD}".encode()).decode()
    answer = client.patch(
        f"/api/osversions/{version.pk}",
        {"data": {"type": "osversions", "id": str(version.pk), "attributes": {"name": "3.3-new"}}},
        content_type="application/vnd.api+json",
        headers={"Authorization": f"Basic {basic}"},
        REMOTE_ADDR="192.0.2.7",
    )
    assert answer.status_code == 200, answer.content
    entry = LogEntry.objects.get_for_object(version).first()
    assert entry.actor.username == "ada"
    assert (entry.remote_addr, entry.additional_data["via"]) == ("192.0.2.7", Origin.API)
    assert entry.changes_dict["name"] == ["3.3-old", "3.3-new"]


def test_behind_the_proxy_its_word_counts_and_not_the_client_s(client: Client, settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client.force_login(make_user(is_superuser=True))
    client.post(
        "/admin/instances/domain/add/",
        {"domain": "new.example.org"},
        headers={"X-Forwarded-For": "203.0.113.1, 192.0.2.9", "X-Forwarded-Proto": "https"},
    )
    entry = LogEntry.objects.get(object_repr="new.example.org")
    assert (entry.remote_addr, entry.additional_data["via"]) == ("192.0.2.9", Origin.ADMIN)


def test_a_command_names_the_user_of_the_operating_system() -> None:
    call_command("version", "add", "3.1", stdout=StringIO())
    entry = LogEntry.objects.get_for_object(Version.objects.get()).get()
    assert entry.actor is None
    assert entry.additional_data == {"via": Origin.COMMAND, "who": getpass.getuser()}


def test_operations_belong_to_the_log_of_their_instance() -> None:
    instance, other = make_installed(), make_installed()
    operations.stop(instance, operations.SYSTEM)
    operations.stop(other, operations.SYSTEM)
    found = audit.entries_of(instance)
    assert {entry.content_type.model for entry in found} == {"instance", "operation"}
    assert {entry.object_repr for entry in found if entry.content_type.model == "instance"} == {str(instance)}


def test_secrets_are_masked() -> None:
    words = ["first-half1second-half1", "first-half2second-half2", "first-half3second-half3"]
    instance = make_installed(superadmin_password=words[0])
    instance.superadmin_password, instance.admin_initial_password = words[1:]
    instance.save()
    user = make_user()
    user.set_password("another")
    user.save()
    text = " ".join(f"{entry.changes} {entry.changes_text} {entry.serialized_data}" for entry in LogEntry.objects.all())
    assert "superadmin_password" in text
    assert "••••••" in text
    assert "half" not in text
    assert instance.secret_key[-10:] not in text
    assert user.password[-10:] not in text
    assert "None" not in str(LogEntry.objects.get_for_object(instance).last().changes_dict["superadmin_password"][1])


def test_what_the_system_sees_makes_no_entries() -> None:
    host = make_host(last_seen=timezone.now() - timedelta(hours=1))
    instance = make_installed(host=host)
    LogEntry.objects.all().delete()
    change_state(instance, State.SLEEPING)
    looks.look_after(Host.objects.get(pk=host.pk))
    assert not LogEntry.objects.exists()


def test_what_changes_no_row_can_be_noted() -> None:
    domain = make_domain()
    audit.note(domain, "downloaded")
    entry = LogEntry.objects.get_for_object(domain).first()
    assert entry.additional_data["action"] == "downloaded"


def test_old_entries_are_forgotten_when_the_settings_say_so(settings: Settings) -> None:
    make_domain()
    LogEntry.objects.update(timestamp=timezone.now() - timedelta(days=31))
    audit.prune()
    assert LogEntry.objects.exists()
    settings.AUDIT_KEEP_DAYS = 30
    audit.prune()
    assert not LogEntry.objects.exists()


def test_every_change_of_state_is_kept_with_its_time() -> None:
    instance = make_installed()
    assert change_state(instance, State.SLEEPING)
    assert not change_state(instance, State.SLEEPING)
    change = StateChange.objects.get()
    assert (change.state, change.at) == (State.SLEEPING, instance.state_since)


def test_a_change_that_somebody_else_was_faster_with_is_none() -> None:
    read = make_installed()
    change_state(make_installed(), State.ERROR)
    type(read).objects.update(observed_state=State.STOPPED)
    assert not change_state(read, State.SLEEPING)
    assert StateChange.objects.filter(instance=read).count() == 0


def test_who_cancels_is_written_down_by_whatever_way_it_comes(client: Client) -> None:
    make_user(username="ada", is_superuser=True)
    waiting, running, by_command = (operations.stop(make_installed(), operations.SYSTEM) for _ in range(3))
    claims.take(running.pk)
    basic = b64encode(f"ada:{PASSWORD}".encode()).decode()
    for operation in (waiting, running):
        answer = client.patch(
            f"/api/operations/{operation.pk}",
            {"data": {"type": "operations", "id": str(operation.pk), "attributes": {"status": "cancelled"}}},
            content_type="application/vnd.api+json",
            headers={"Authorization": f"Basic {basic}"},
            REMOTE_ADDR="192.0.2.7",
        )
        assert answer.status_code < 300, answer.content
    call_command("operation", "cancel", str(by_command.pk), stdout=StringIO())
    notes = [audit.entries_of(operation.instance).filter(action=LogEntry.Action.ACCESS).get()
             for operation in (waiting, running, by_command)]  # fmt: skip
    assert [entry.additional_data["action"] for entry in notes] == ["cancelled", "cancellation asked for", "cancelled"]
    assert [audit.who(entry) for entry in notes] == ["ada", "ada", getpass.getuser()]
    assert [audit.via(entry) for entry in notes] == [Origin.API, Origin.API, Origin.COMMAND]
    assert [entry.remote_addr for entry in notes] == ["192.0.2.7", "192.0.2.7", None]


def test_a_cancellation_is_written_down_once_and_with_what_waited_for_it() -> None:
    version = make_version(preparation=Preparation.NONE)
    creation = operations.create(make_instance(version=version), operations.SYSTEM)
    assert creation.waits_for is not None
    operations.cancel(creation.waits_for, operations.SYSTEM)
    with pytest.raises(CannotCancel):
        operations.cancel(creation.waits_for, operations.SYSTEM)
    notes = LogEntry.objects.filter(action=LogEntry.Action.ACCESS).order_by("pk")
    assert [(entry.object_pk, entry.additional_data["action"]) for entry in notes] == [
        (str(creation.waits_for_id), "cancelled"),
        (str(creation.pk), "cancelled"),
    ]


def test_permissions_and_groups_that_are_given_and_taken_away_are_written_down() -> None:
    user, group = make_user(username="ada"), Group.objects.create(name="operators")
    rights = list(Permission.objects.filter(codename__in=["add_instance", "change_instance"]).order_by("codename"))
    both = ", ".join(sorted(str(right) for right in rights))
    LogEntry.objects.all().delete()
    user.groups.add(group)
    user.user_permissions.set(rights)
    group.permissions.set(rights)
    group.permissions.remove(rights[0])
    found = [(entry.object_repr, audit.changes(entry)) for entry in LogEntry.objects.order_by("pk")]
    assert found == [
        ("ada", {"groups": (None, "operators")}),
        ("ada", {"user_permissions": (None, both)}),
        ("operators", {"permissions": (None, both)}),
        ("operators", {"permissions": (str(rights[0]), None)}),
    ]


def test_the_mark_default_that_goes_to_another_is_written_down_for_both(admin_client: Client) -> None:
    old, new = make_version(name="3.2", default=True), make_version(name="3.3")
    LogEntry.objects.all().delete()
    call_command("version", "add", "3.4", "--default", stdout=StringIO())
    newest = Version.objects.get(name="3.4")
    admin_client.post(
        f"/admin/instances/version/{new.pk}/change/",
        {"name": new.name, "image": new.image, "engine": new.engine, "enabled": "on", "default": "on"},
    )
    assert Version.objects.get(default=True) == new
    marks = [
        (entry.object_repr, audit.via(entry), audit.changes(entry)["default"])
        for entry in LogEntry.objects.order_by("pk")
        if "default" in audit.changes(entry)
    ]
    assert marks == [
        (str(old), Origin.COMMAND, ("True", "False")),
        (str(newest), Origin.COMMAND, (None, "True")),
        (str(newest), Origin.ADMIN, ("True", "False")),
        (str(new), Origin.ADMIN, ("False", "True")),
    ]


def test_what_the_system_removes_because_its_time_is_over_is_written_down(settings: Settings, tmp_path: Path) -> None:
    settings.ORPHAN_DAYS, settings.BACKUP_DIR = 7, tmp_path
    host, name = make_host(), f"{'a' * 32}/forgotten.tar"
    with store().write(name) as stream:
        stream.write(b"x")
    Orphan.objects.create(host=host, kind=OrphanKind.BACKUP, name=name, instance_id="a" * 32,
                          first_seen_at=timezone.now() - timedelta(days=8))  # fmt: skip
    orphans.remove_due(host)
    assert not list(store().names())
    entry = LogEntry.objects.get(content_type__model="orphan")
    assert name in entry.object_repr
    assert (entry.additional_data["action"], audit.who(entry), audit.via(entry)) == ("removed", "", Origin.SYSTEM)
