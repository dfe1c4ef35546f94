"""The instances of a production host: PostgreSQL and podman. This process is the control plane's own user, in there."""

from __future__ import annotations

import itertools
import logging
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.chaos.fleet import OLD, Finding, Fleet

if TYPE_CHECKING:
    from deployers.databases.postgresql_server import Server
    from instances.models import Instance

SETTINGS = {
    # What is waited for shall be the work and not the next look; and nothing is to begin by itself.
    "REFRESH_SECONDS": "1",
    "LEASE_SECONDS": "30",
    "OPERATIONS_AT_ONCE": "6",
    "BACKUP_VERIFY_HOURS": "0",
    "READY_TIMEOUT": "120",
}
"""Of the units of the control plane, while it is under fire."""
COPIED_ROW = re.compile(r"^\d+\t(.+)$", re.MULTILINE)


class BootedFleet(Fleet):
    """``domain``: the first one, which the set-up has made. Nobody visits its instances, so they must not sleep.

    One in three has two server processes, which meet in Redis.
    """

    name = "booted host: "
    attributes = {"always_on": True}

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)

    def new(self, slug: str, release: str = OLD) -> Instance:
        made = super().new(slug, release)
        made.workers = 1 if next(self.numbers) % 3 else 2
        return made

    def open(self) -> None:
        """Make this process one that works on the control plane's rows."""
        # A worker that is to die always finds a free place.
        os.environ.update(
            {**SETTINGS, "OPERATIONS_AT_ONCE": "1000", "DJANGO_SETTINGS_MODULE": "multiinstance.settings"}
        )
        django.setup()
        logging.disable(logging.ERROR)
        from instances.models import Domain

        self.domain = Domain.objects.order_by("pk")[0].domain
        self.prepare_versions()

    def media(self, instance: Instance) -> Path:
        return Path("/srv/openslides/instances") / instance.pk / "data" / "media"

    def write(self, instance: Instance, text: str) -> None:
        with _server().connection(f"openslides_{instance.pk}") as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO core_tag (name) VALUES (%s)", [text])

    def rows(self, instance: Instance) -> set[str]:
        with _server().connection(f"openslides_{instance.pk}") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM core_tag")
            return {name for (name,) in cursor.fetchall()}

    def rows_of_dump(self, dump: Path) -> set[str]:
        command = ["pg_restore", "--data-only", "--table=core_tag", "--file=-", dump]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return set(COPIED_ROW.findall(text))

    def scan(self) -> list[Finding]:
        from tests.chaos.booted_scan import scan

        return scan()


def _server() -> Server:
    """As the control plane reaches it."""
    from django.conf import settings

    from deployers.databases.postgresql_server import Server

    database = settings.DATABASES["default"]
    return Server(database["HOST"], database["USER"], database["NAME"], int(database["PORT"] or 5432))
