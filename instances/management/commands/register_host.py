"""What the set-up of a production host registers: its row, a domain, an account, and versions for the images there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from instances import domains, first_run, operations
from instances.choices import Engine, HostKind
from instances.models import Domain, Host, Version

ARCHIVE = re.compile(r"openslides-(\d+(?:\.\d+)+)\.tar")


class Command(BaseCommand):
    help = (
        "Register this machine as a host: its row, the domain of its instances, the account 'admin' (ADMIN_PASSWORD, "
        "or a generated one) if there is no superuser yet, and a version for each image in IMAGES, where podman is an "
        "engine. Says 'changed' or 'unchanged' in its last line. What is there already stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--name", default="localhost", help="short name of the machine; its Celery queue is host.NAME"
        )
        parser.add_argument("--domain", help="instances are found at SLUG.DOMAIN")
        parser.add_argument("--capacity", type=int, default=2000, help="how many instances may be placed here")
        parser.add_argument("--images", type=Path, default=Path("/srv/openslides/images"), help="directory of images")

    def handle(self, *args: Any, **options: Any) -> None:
        said: list[str] = []
        with transaction.atomic():
            account = first_run.make_account()
            if account is not None:
                kept = f", its password is in {account.file}" if account.password else ""
                said.append(f"account {account.username}{kept}")
            said += self._host(options["name"], options["capacity"])
            if options["domain"]:
                said += self._domain(options["domain"])
            said += self._versions(options["images"])
        for line in said:
            self.stdout.write(f"Registered: {line}")
        self.stdout.write("changed" if said else "unchanged")

    def _host(self, name: str, capacity: int) -> list[str]:
        host = Host(name=name, kind=HostKind.SYSTEMD, capacity=capacity)
        if Host.objects.filter(name=name).exists():
            return []
        _save(host)
        return [f"host {name}"]

    def _domain(self, name: str) -> list[str]:
        if Domain.objects.filter(domain=name).exists():
            return []
        domain = Domain(domain=name, default=not Domain.objects.filter(default=True).exists())
        _save(domain)
        domains.open_on_hosts(domain)
        return [f"domain {name}"]

    def _versions(self, images: Path) -> list[str]:
        """The newest of the first ones becomes the default, and is prepared."""
        if Engine.PODMAN not in settings.ENGINES:
            return []
        found = [(match[1], path) for path in images.glob("*.tar") if (match := ARCHIVE.fullmatch(path.name))]
        new: list[Version] = []
        for release, path in found:
            if Version.objects.filter(name=release).exists():
                continue
            version = Version(name=release, image=f"oci-archive:{path}", engine=Engine.PODMAN)
            _save(version)
            new.append(version)
        if new and not Version.objects.filter(default=True).exists():
            newest = max(new, key=lambda version: version.release)
            newest.default = True
            newest.save(update_fields=["default"])
        for version in new:
            operations.prepare(version, operations.SYSTEM)
        return [f"version {version.name}" for version in new]


def _save(row: Host | Domain | Version) -> None:
    """Raises CommandError with what the model's own checks say."""
    try:
        row.full_clean()
    except ValidationError as error:
        raise CommandError(f"{row._meta.verbose_name} {row}: {' '.join(error.messages)}") from error
    row.save()
