"""Rotating the encryption key, and the page that lists the settings."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from pytest_django.fixtures import Settings

from instances.models import Instance
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


def test_the_page_of_settings_is_up_to_date(manage: Run) -> None:
    assert manage("settings_reference", "--check", str(PROJECT / "docs" / "settings.md")).code == 0
