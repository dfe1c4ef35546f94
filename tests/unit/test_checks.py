"""An unsafe production setting is refused."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from instances.checks import check_backup_store, check_production_settings

SAFE = {"DEBUG": False, "SECRET_KEY": "kZ3" * 20 + "x7Qw", "ALLOWED_HOSTS": ["manage.example.org"]}


def found(settings: Settings, **values: object) -> list[str | None]:
    for name, value in {**SAFE, **values}.items():
        setattr(settings, name, value)
    return [message.id for message in check_production_settings()]


def test_safe_settings_pass(settings: Settings) -> None:
    assert found(settings, DEPLOYMENT="systemd") == []


@pytest.mark.parametrize(
    ("unsafe", "check"),
    [
        ({"DEBUG": True}, "instances.E001"),
        ({"SECRET_KEY": "short"}, "instances.E002"),
        ({"SECRET_KEY": "django-insecure-" + "ab1" * 20}, "instances.E002"),
        ({"SECRET_KEY": "a" * 60}, "instances.E002"),
        ({"ALLOWED_HOSTS": []}, "instances.E003"),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"]}, "instances.E003"),
        ({"ALLOWED_HOSTS": ["*"]}, "instances.E003"),
        ({"FIELD_ENCRYPTION_KEYS": ["nonsense"]}, "instances.E004"),
    ],
)
def test_each_unsafe_setting_is_named(settings: Settings, unsafe: dict[str, object], check: str) -> None:
    assert found(settings, DEPLOYMENT="systemd", **unsafe) == [check]


def test_an_embedded_host_that_others_can_reach_is_held_to_the_same(settings: Settings) -> None:
    assert found(settings, DEPLOYMENT="embedded", BIND="0.0.0.0", DEBUG=True) == ["instances.E001"]


@pytest.mark.parametrize("bind", ["127.0.0.1", "localhost", "::1"])
def test_on_loopback_the_defaults_are_fine(settings: Settings, bind: str) -> None:
    assert found(settings, DEPLOYMENT="embedded", BIND=bind, DEBUG=True, ALLOWED_HOSTS=["localhost"]) == []


def test_a_backup_store_that_cannot_be_used_is_refused_with_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_backup_store() == []
    settings.BACKUP_S3_BUCKET, settings.BACKUP_S3_ACCESS_KEY = "backups", "key"
    assert [message.id for message in check_backup_store()] == ["instances.E006"]
    monkeypatch.setattr("instances.checks.find_spec", lambda name: None)
    messages = check_backup_store()
    assert [message.id for message in messages] == ["instances.E005", "instances.E006"]
    assert "requirements/production.txt" in messages[0].msg
