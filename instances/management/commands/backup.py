"""``manage.py backup``: make, list, restore, clone, download, verify and delete backups."""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from deployers.errors import DeployError
from instances import archives, audit, backups, operations
from instances.console import (
    FAILED,
    NOT_FOUND,
    REQUEST,
    USAGE,
    ConsoleCommand,
    add_common,
    confirmed,
    find_domain,
    find_instance,
)
from instances.errors import BackupUnusable
from instances.models import Backup, Instance

CHUNK_BYTES = 1 << 20


class Command(ConsoleCommand):
    help = "Make, list, restore, clone, download, verify or delete backups of instances."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        create = actions.add_parser("create", help="back an instance up")
        create.add_argument("instance", help="its id, its slug, or slug.domain")
        add_common(create, waits=True)

        listing = actions.add_parser("list", help="list the backups, the newest first")
        listing.add_argument("instance", nargs="?", help="only of this one: its id, its slug, or slug.domain")
        listing.add_argument("--removed", action="store_true", help="only of removed instances")
        add_common(listing)

        restore = self.naming(
            actions.add_parser("restore", help="put a backup's data in the place of the present ones")
        )
        restore.add_argument("--yes", action="store_true", help="do not ask")
        restore.add_argument(
            "--without-safety-backup",
            action="store_true",
            help="do not back the present data up first: only where they cannot be read any more",
        )
        add_common(restore, waits=True)

        clone = actions.add_parser("clone", help="make a new instance of an instance's data")
        clone.add_argument("instance", help="the original: its id, its slug, or slug.domain")
        clone.add_argument("slug", help="what the new one is called in its address")
        clone.add_argument("--domain", help="a registered domain (default: the original's)")
        clone.add_argument("--backup", type=int, metavar="NUMBER", help="of this backup, not of the present data")
        add_common(clone, waits=True)

        download = self.naming(actions.add_parser("download", help="write a backup's archive into a file"))
        download.add_argument("file", help="a new file, or - for standard output")

        delete = self.naming(actions.add_parser("delete", help="delete a backup"))
        delete.add_argument("--yes", action="store_true", help="do not ask")

        verify = self.naming(actions.add_parser("verify", help="restore a backup where nobody uses it, and read it"))
        add_common(verify, waits=True)

    @staticmethod
    def naming(parser: ArgumentParser) -> ArgumentParser:
        parser.add_argument("backup", type=int, help="its number, as the list has it")
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            super().handle(*args, **options)
        except DeployError as error:
            raise CommandError(str(error), returncode=FAILED) from error

    def do_create(self, instance: str, **options: Any) -> None:
        operation = operations.backup(find_instance(instance), REQUEST)
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_list(self, instance: str | None, removed: bool, **options: Any) -> None:
        found = Backup.objects.select_related("instance__domain", "version")
        if instance is not None:
            found = found.filter(instance__in=named(instance))
        if removed:
            found = found.exclude(instance__removed_at=None)
        if options["json"]:
            self.print_json([backup_document(backup) for backup in found])
        elif not found:
            self.stdout.write("There is no backup. Make one: manage.py backup create INSTANCE")
        else:
            self.print_table(
                ("BACKUP", "INSTANCE", "MADE", "REASON", "VERSION", "SIZE", "KEPT UNTIL", "STATE"),
                (
                    (
                        str(backup.pk),
                        str(backup.instance),
                        f"{timezone.localtime(backup.created_at):%Y-%m-%d %H:%M}",
                        backup.get_reason_display(),
                        backup.version.name,
                        filesizeformat(backup.size) if backup.is_complete else "-",
                        f"{timezone.localtime(backup.expires_at):%Y-%m-%d}" if backup.expires_at else "-",
                        state_of(backup),
                    )
                    for backup in found
                ),
            )

    def do_restore(self, backup: int, yes: bool, **options: Any) -> None:
        found = find_backup(backup)
        question = f"Put the data of {found} in the place of the present ones? What came after it is lost."
        if not yes and not confirmed(question):
            raise CommandError("Nothing was restored. Without a terminal, confirm with --yes.", returncode=USAGE)
        operation = operations.restore(found, REQUEST, safety=not options["without_safety_backup"])
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_clone(self, instance: str, slug: str, domain: str | None, backup: int | None, **options: Any) -> None:
        if backup is None:
            source = find_instance(instance)
            copy = self.copy(source, slug, domain)
            operation = operations.clone(source, copy, REQUEST)
        else:
            found = find_backup(backup)
            if found.instance not in named(instance):
                raise CommandError(f"The backup {backup} is one of {found.instance}.", returncode=USAGE)
            copy = self.copy(found.instance, slug, domain)
            operation = operations.create(copy, REQUEST, found)
        if not options["json"]:
            self.stdout.write(f"{copy} is added, its id is {copy.pk}.")
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    @staticmethod
    def copy(source: Instance, slug: str, domain: str | None) -> Instance:
        """Raises ValidationError."""
        found = backups.copy_of(source, slug, find_domain(domain) if domain else source.domain)
        found.full_clean(exclude=["host"])
        return found

    def do_download(self, backup: int, file: str, **options: Any) -> None:
        """A file is there under its name only as a whole, and readable by nobody else."""
        found = find_backup(backup)
        if not found.is_complete:
            raise BackupUnusable(found, "It is not complete yet. Wait until it is, or choose another.")
        if file == "-":
            write(found, sys.stdout.buffer)
        else:
            target = Path(file)
            if target.exists():
                raise CommandError(f"{target} is there already. Name another file.", returncode=USAGE)
            unfinished = target.with_name(target.name + ".unfinished")
            try:
                with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                    write(found, stream)
                unfinished.rename(target)
            except OSError as error:
                raise CommandError(f"{target} cannot be written: {error.strerror}", returncode=FAILED) from error
            finally:
                unfinished.unlink(missing_ok=True)
        audit.note(found, "downloaded")
        self.stderr.write(f"{found}: {found.size} bytes, SHA-256 {found.sha256}")

    def do_delete(self, backup: int, yes: bool, **options: Any) -> None:
        found = find_backup(backup)
        if not yes and not confirmed(f"Delete the backup {found}?"):
            raise CommandError("Nothing was deleted. Without a terminal, confirm with --yes.", returncode=USAGE)
        backups.delete(found)
        self.stdout.write(f"The backup {found} is deleted.")

    def do_verify(self, backup: int, **options: Any) -> None:
        operation = operations.verify(find_backup(backup), REQUEST)
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])


def find_backup(number: int) -> Backup:
    """Exits with NOT_FOUND."""
    rows = Backup.objects.select_related("instance__domain", "instance__version", "instance__host", "version", "host")
    backup = rows.filter(pk=number).first() if number < 2**63 else None
    if backup is None:
        raise CommandError(f"There is no backup {number}. See: manage.py backup list", returncode=NOT_FOUND)
    return backup


def named(name: str) -> Iterable[Instance]:
    """All instances of that id, slug or slug.domain; removed ones, too. Exits with NOT_FOUND."""
    slug, _, domain = name.partition(".")
    rows = Instance.objects.select_related("domain")
    found = (
        list(rows.filter(pk=name))
        or list(rows.filter(slug=name))
        or list(rows.filter(slug=slug, domain__domain=domain))
    )
    if not found:
        raise CommandError(f"There is no instance {name!r}, and there was none.", returncode=NOT_FOUND)
    return found


def write(backup: Backup, target: BinaryIO) -> None:
    """Raises ArchiveMissing, StoreFailed; CommandError when the archive is not what was written down."""
    digest = hashlib.sha256()
    with archives.store().read(backup.name) as stream:
        while data := stream.read(CHUNK_BYTES):
            digest.update(data)
            target.write(data)
    target.flush()
    if digest.hexdigest() != backup.sha256:
        raise CommandError(
            f"The backup {backup} is damaged: its SHA-256 is not the one that was written down when it was made.",
            returncode=FAILED,
        )


def state_of(backup: Backup) -> str:
    if not backup.is_complete:
        return "not complete"
    if backup.problem:
        return "damaged"
    return "verified" if backup.verified_at else "complete"


def backup_document(backup: Backup) -> dict[str, Any]:
    """A backup as the commands print it."""
    return {
        "backup": backup.pk,
        "instance": backup.instance_id,
        "slug": backup.instance.slug,
        "domain": backup.instance.domain.domain,
        "removed": backup.instance.removed_at is not None,
        "name": backup.name,
        "reason": backup.reason,
        "version": backup.version.name,
        "db": backup.db,
        "state": state_of(backup),
        "size": backup.size,
        "sha256": backup.sha256,
        "created_at": backup.created_at,
        "completed_at": backup.completed_at,
        "expires_at": backup.expires_at,
        "verified_at": backup.verified_at,
        "problem": backup.problem,
    }
