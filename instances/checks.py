"""System checks: a production setting left at an unsafe default is refused before anything runs."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from instances.archives import MISSING_LIBRARY
from instances.fields import cipher


def is_exposed() -> bool:
    """Whether others than this machine's users can reach the control plane."""
    if settings.DEPLOYMENT != "embedded":
        return True
    try:
        return not ipaddress.ip_address(settings.BIND).is_loopback
    except ValueError:
        return bool(settings.BIND != "localhost")


@register(Tags.security)
def check_production_settings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003 apply to a production host, and to an embedded one that listens on more than loopback."""
    found: list[CheckMessage] = []
    try:
        cipher()
    except ImproperlyConfigured as error:
        found.append(Error(str(error), id="instances.E004"))
    if not is_exposed():
        return found
    if settings.DEBUG:
        found.append(
            Error(
                "DEBUG is on, which shows settings and source to everybody who causes an error.",
                hint="Set DEBUG=false, or take the line out of the environment and .env.",
                id="instances.E001",
            )
        )
    if len(settings.SECRET_KEY) < 50 or len(set(settings.SECRET_KEY)) < 5 or "insecure" in settings.SECRET_KEY:
        found.append(
            Error(
                "SECRET_KEY can be guessed: whoever knows it can sign in as anybody.",
                hint="Set SECRET_KEY to at least 50 random characters, or take it out: the first run makes one.",
                id="instances.E002",
            )
        )
    names = set(settings.ALLOWED_HOSTS)
    if "*" in names or names <= {"localhost", "127.0.0.1", "[::1]"}:
        found.append(
            Error(
                "ALLOWED_HOSTS names no host, or all, while the control plane can be reached from outside.",
                hint="Set ALLOWED_HOSTS to the names under which it is called, e.g. manage.example.org.",
                id="instances.E003",
            )
        )
    return found


@register()
def check_backup_store(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """E005, E006: what the backup store of the settings needs is there."""
    found: list[CheckMessage] = []
    if settings.BACKUP_S3_BUCKET and not (find_spec("storages") and find_spec("boto3")):
        found.append(Error(MISSING_LIBRARY, id="instances.E005"))
    if bool(settings.BACKUP_S3_ACCESS_KEY) != bool(settings.BACKUP_S3_SECRET_KEY):
        found.append(
            Error(
                "Only one of BACKUP_S3_ACCESS_KEY and BACKUP_S3_SECRET_KEY is set.",
                hint="Set both, or none: then boto3 looks for keys in its own places.",
                id="instances.E006",
            )
        )
    return found
