"""Rotating the encryption key, and the page that lists the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances.management.commands import rotate_encryption_key
from instances.models import Instance
from multiinstance.configuration import SETTINGS
from tests.commands.conftest import Run
from tests.conftest import PROJECT
from tests.factories import make_instance


@pytest.mark.django_db
def test_after_a_rotation_the_old_key_is_not_needed(manage: Run, settings: Settings) -> None:
    instance = make_instance(superadmin_password="still the same")
    fresh = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [fresh, *settings.FIELD_ENCRYPTION_KEYS]
    assert manage("rotate_encryption_key").code == 0
    settings.FIELD_ENCRYPTION_KEYS = [fresh]
    found = Instance.objects.get(pk=instance.pk)
    assert found.superadmin_password == "still the same"
    assert found.secret_key == instance.secret_key
    with connection.cursor() as cursor:
        cursor.execute("SELECT superadmin_password FROM instances_instance")
        assert "still" not in cursor.fetchone()[0]


@pytest.mark.django_db
def test_a_rotation_without_the_old_key_changes_nothing(manage: Run, settings: Settings) -> None:
    before = settings.FIELD_ENCRYPTION_KEYS
    instance = make_instance(superadmin_password="still the same")
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    answer = manage("rotate_encryption_key")
    assert (answer.code, "Put the key back" in answer.error) == (1, True)
    settings.FIELD_ENCRYPTION_KEYS = before
    assert Instance.objects.get(pk=instance.pk).superadmin_password == "still the same"


@pytest.mark.django_db
def test_a_rotation_reaches_every_row_and_may_be_run_again(
    manage: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotate_encryption_key, "BATCH", 2)
    made = [make_instance(superadmin_password=f"password {number}") for number in range(5)]
    removed = make_instance(superadmin_password="of a removed one", removed_at=timezone.now())
    fresh = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [fresh, *settings.FIELD_ENCRYPTION_KEYS]
    for _ in range(2):
        answer = manage("rotate_encryption_key")
        assert answer.code == 0
        assert "6 rows" in answer.out
    settings.FIELD_ENCRYPTION_KEYS = [fresh]
    for number, instance in enumerate(made):
        assert Instance.objects.get(pk=instance.pk).superadmin_password == f"password {number}"
    assert Instance.objects.get(pk=removed.pk).superadmin_password == "of a removed one"


def test_an_outdated_page_of_settings_is_refused_with_the_way_out(manage: Run, tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    page.write_text("outdated")
    answer = manage("settings_reference", "--check", str(page))
    assert (answer.code, "make docs" in answer.error) == (1, True)


def test_every_setting_is_on_the_page(manage: Run) -> None:
    page = manage("settings_reference").out
    assert [setting.name for setting in SETTINGS if f"| `{setting.name}` |" not in page] == []


def test_the_example_of_an_env_file_names_real_settings_only() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    named = {line.removeprefix("#").partition("=")[0] for line in lines if "=" in line}
    assert named
    assert named <= {setting.name for setting in SETTINGS}


def test_the_page_of_settings_is_up_to_date(manage: Run) -> None:
    assert manage("settings_reference", "--check", str(PROJECT / "docs" / "settings.md")).code == 0
