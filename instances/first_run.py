"""What a fresh embedded installation begins with: an account, a host, a domain and two versions."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from instances import operations
from instances.choices import Engine, HostKind
from instances.models import Domain, Host, Version
from multiinstance.secret_file import write_once

ADMIN = "admin"
HOST = "localhost"
RELEASES = ("3.2", "3.3")
"""The last one is the default, and is prepared at once."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that was made. ``password`` is empty where the operator chose it."""

    username: str
    password: str
    file: Path


def password_file() -> Path:
    """Where a generated password is kept."""
    return Path(settings.DATA_DIR) / "admin-password"


def make_account() -> Account | None:
    """Make the superuser ``admin`` if there is no superuser yet; None if there is one.

    The file is written before the account: a run that is interrupted in between uses its password the next time.
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    chosen = settings.ADMIN_PASSWORD
    file = password_file()
    if chosen:
        password = chosen
    else:
        write_once(file, secrets.token_urlsafe(12) + "\n")
        password = file.read_text().strip()
    users.create_superuser(username=ADMIN, email="", password=password)
    return Account(ADMIN, "" if chosen else password, file)


def register() -> None:
    """Register host, domain and versions, and file the preparation of the newest; nothing if there is a host already.

    An operator who deletes one of them does not get it back.
    """
    with transaction.atomic():
        if Host.objects.exists():
            return
        Host.objects.create(name=HOST, kind=HostKind.EMBEDDED)
        Domain.objects.get_or_create(domain="localhost", defaults={"default": not Domain.objects.exists()})
        for release in RELEASES:
            version, made = Version.objects.get_or_create(
                name=release,
                defaults={"image": f"pypi:openslides=={release}", "engine": Engine.VIRTUALENV},
            )
        if made and not Version.objects.filter(default=True).exists():
            version.default = True
            version.save(update_fields=["default"])
        operations.prepare(version, operations.SYSTEM)
