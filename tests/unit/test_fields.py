"""Passwords are encrypted at rest, and keys can be changed."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django.fixtures import Settings

from instances.fields import CannotDecrypt
from instances.models import Instance
from tests.factories import make_instance

pytestmark = pytest.mark.django_db


def stored(instance: Instance) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT superadmin_password FROM instances_instance WHERE id = %s", [instance.pk])
        return str(cursor.fetchone()[0])


def test_what_is_stored_is_not_the_password() -> None:
    instance = make_instance(superadmin_password="öffne Dich 🗝")
    assert "öffne" not in stored(instance)
    assert Instance.objects.get(pk=instance.pk).superadmin_password == "öffne Dich 🗝"


def test_the_same_password_is_stored_differently_each_time() -> None:
    one, two = make_instance(superadmin_password="same"), make_instance(superadmin_password="same")
    assert stored(one) != stored(two)


def test_a_value_of_an_older_key_stays_readable(settings: Settings) -> None:
    instance = make_instance(superadmin_password="from before")
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]
    assert Instance.objects.get(pk=instance.pk).superadmin_password == "from before"


def test_without_its_key_the_error_says_what_to_do(settings: Settings) -> None:
    instance = make_instance(superadmin_password="from before")
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    found = Instance.objects.get(pk=instance.pk)
    assert found.slug == instance.slug
    with pytest.raises(CannotDecrypt, match="Put the key back"):
        _ = found.superadmin_password


def test_a_row_that_is_read_and_saved_keeps_its_password() -> None:
    instance = make_instance(superadmin_password="unchanged")
    Instance.objects.get(pk=instance.pk).save()
    Instance.objects.bulk_update([Instance.objects.get(pk=instance.pk)], ["superadmin_password"])
    assert Instance.objects.get(pk=instance.pk).superadmin_password == "unchanged"


def test_a_malformed_key_is_named(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["not a key"]
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
        make_instance()


def test_generated_passwords_differ() -> None:
    one, two = make_instance(), make_instance()
    values = {one.superadmin_password, one.admin_initial_password, two.superadmin_password, two.admin_initial_password}
    assert len(values) == 4
    assert all(len(value) == 16 for value in values)
