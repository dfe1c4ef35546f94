"""``manage.py operation``: what was asked for, and how to cancel it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from instances import operations
from instances.choices import Outcome
from instances.console import (
    NOT_FOUND,
    REQUEST,
    ConsoleCommand,
    add_common,
    find_instance,
    operation_document,
)
from instances.models import Operation

SHOWN = 50


class Command(ConsoleCommand):
    help = "List operations, cancel one, or let a postponed one begin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="list the operations that are not finished")
        listing.add_argument("--all", action="store_true", help=f"also those that have ended, the newest {SHOWN}")
        listing.add_argument("--instance", help="of this one: its id, its slug, or slug.domain")
        add_common(listing)
        cancel = actions.add_parser("cancel", help="end an operation, and undo what it has done")
        cancel.add_argument("operation", type=int, help="its number")
        add_common(cancel)
        begin = actions.add_parser("begin", help="let a postponed operation begin now")
        begin.add_argument("operation", type=int, help="its number")
        add_common(begin, waits=True)

    def do_list(self, instance: str | None, **options: Any) -> None:
        found = Operation.objects.select_related("instance__domain", "version", "backup", "host")
        if not options["all"]:
            found = found.filter(finished_at=None)
        if instance is not None:
            found = found.filter(instance=find_instance(instance))
        rows = list(found.prefetch_related("steps")[:SHOWN])
        if options["json"]:
            self.print_json([operation_document(operation) for operation in rows])
        elif not rows:
            self.stdout.write("Nothing is waiting or running.")
        else:
            self.print_table(
                ("NUMBER", "OPERATION", "STATUS", "PROGRESS", "ASKED FOR", "NOTE"),
                (
                    (
                        str(operation.pk),
                        str(operation),
                        operation.get_status_display(),
                        f"{operation.progress} %",
                        f"{timezone.localtime(operation.created_at):%Y-%m-%d %H:%M}",
                        note(operation),
                    )
                    for operation in rows
                ),
            )

    def do_begin(self, operation: int, **options: Any) -> None:
        begun = operations.begin_now(find_operation(operation))
        self.follow(begun, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_cancel(self, operation: int, **options: Any) -> None:
        found = operations.cancel(find_operation(operation), REQUEST)
        if options["json"]:
            self.print_json(operation_document(found))
        elif found.status == Outcome.CANCELLED:
            self.stdout.write(f"Operation {found.pk} is cancelled: {found}.")
        else:
            self.stdout.write(f"Operation {found.pk} is being cancelled: {found}. What it has done is undone.")


def find_operation(number: int) -> Operation:
    """Exits with NOT_FOUND."""
    found = Operation.objects.filter(pk=number).first() if number < 2**63 else None
    if found is None:
        raise CommandError(f"There is no operation {number}. See: manage.py operation list", returncode=NOT_FOUND)
    return found


def note(operation: Operation) -> str:
    """What is special about it."""
    if operation.status == Outcome.POSTPONED and operation.not_before is not None:
        return f"begins {timezone.localtime(operation.not_before):%Y-%m-%d %H:%M}"
    if operation.status == Outcome.RUNNING and operation.cancel_asked_at is not None:
        return "is being cancelled"
    return operation.error.partition("\n")[0][:80]
