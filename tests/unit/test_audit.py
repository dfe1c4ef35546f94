"""Who did what is written down: by whom, which way, from where, before and after, and never a secret."""

from __future__ import annotations

import getpass
from base64 import b64encode
from datetime import timedelta
from io import StringIO

import pytest
from auditlog.models import LogEntry
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances import audit, looks, operations
from instances.choices import Origin, State
from instances.history import change_state
from instances.models import Host, StateChange, Version
from tests.factories import PASSWORD, make_domain, make_host, make_installed, make_user, make_version

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
