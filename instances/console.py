"""What the manage.py commands share: looking things up, printing, waiting for operations, exit codes."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import IO, Any, NoReturn, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from instances import audit
from instances.choices import Origin, Outcome, StepStatus
from instances.errors import OperationRefused
from instances.models import Domain, Instance, Operation, Version
from instances.operations import Request

FAILED, USAGE, NOT_FOUND, TIMED_OUT = 1, 2, 3, 4
POLL_SECONDS = 0.1
REQUEST = Request(via=Origin.COMMAND)

EPILOG = """exit codes:
  0  done (without --wait: filed)
  1  refused, or the operation failed
  2  wrong usage or wrong values; nothing was changed
  3  no such instance, version or domain
  4  --wait: not finished within --timeout; it goes on
"""


class ConsoleCommand(BaseCommand):
    """A command with sub-commands, one method for each: ``do_list`` for ``list``."""

    stealth_options = ("action",)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def handle(self, *args: Any, **options: Any) -> None:
        action: Callable[..., None] = getattr(self, f"do_{options['action'].replace('-', '_')}")
        try:
            with audit.on_the_command_line():
                action(**options)
        except OperationRefused as refused:
            raise CommandError(str(refused), returncode=FAILED) from refused
        except ValidationError as error:
            raise CommandError("\n".join(describe(error)), returncode=USAGE) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {error}. Has the product been started here (make run)? "
                "Do DATA_DIR and DATABASE_URL name the right one?",
                returncode=FAILED,
            ) from error

    def print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def print_table(self, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """On a terminal as wide as that, elsewhere as wide as it needs to be."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console = Console(file=cast(IO[str], self.stdout), highlight=False)
        if not console.is_terminal:
            console = Console(file=cast(IO[str], self.stdout), highlight=False, width=10_000)
        console.print(table)

    def follow(self, operation: Operation, *, wait: bool, timeout: float, as_json: bool) -> None:
        """Say that the operation is filed, or wait until it has ended."""
        if wait:
            operation = self.wait(operation, timeout, quiet=as_json)
        if as_json:
            self.print_json(operation_document(operation))
        elif operation.status == Outcome.POSTPONED and operation.not_before is not None:
            begins = timezone.localtime(operation.not_before)
            self.stdout.write(f"Operation {operation.pk} is postponed until {begins:%Y-%m-%d %H:%M}: {operation}.")
        elif not wait:
            self.stdout.write(f"Operation {operation.pk} is filed: {operation}.")
        if operation.status in (Outcome.FAILED, Outcome.CANCELLED):
            raise CommandError(failure_text(operation), returncode=FAILED)

    def wait(self, operation: Operation, timeout: float, *, quiet: bool) -> Operation:
        """The operation, once it has ended; shows its steps meanwhile. Exits with TIMED_OUT."""
        deadline = time.monotonic() + timeout
        show = Console(stderr=True)
        warned = False
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=show,
            transient=True,
            disable=quiet or not show.is_terminal,
        ) as progress:
            bar = progress.add_task(str(operation), total=100)
            told = 0
            while True:
                operation = (
                    Operation.objects.select_related("host", "instance__domain", "version", "waits_for__version")
                    .prefetch_related("steps", "waits_for__steps")
                    .get(pk=operation.pk)
                )
                shown = operation if operation.waits_for is None or operation.steps.all() else operation.waits_for
                done = [step for step in operation.steps.all() if step.status in (StepStatus.DONE, StepStatus.FAILED)]
                current = next((step.name for step in shown.steps.all() if step.status == StepStatus.RUNNING), "")
                progress.update(
                    bar, completed=shown.progress, description=f"{shown}: {current}" if current else str(shown)
                )
                if not quiet and not show.is_terminal:
                    for step in done[told:]:
                        self.stderr.write(f"{step.name}: {step.get_status_display()} ({step.seconds or 0:.2f} s)")
                    told = len(done)
                if operation.is_finished:
                    break
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"Operation {operation.pk} is not finished after {timeout:.0f} s. It goes on by itself.",
                        returncode=TIMED_OUT,
                    )
                if not warned and operation.status == Outcome.QUEUED and not operation.host.is_heard:
                    warned = True
                    self.stderr.write(
                        f"The host {operation.host} was not heard of lately. Is the product running (make run)?"
                    )
                time.sleep(POLL_SECONDS)
        if not quiet and operation.status == Outcome.SUCCEEDED:
            self.stdout.write(f"{operation}: done in {operation.seconds or 0:.1f} s.")
        return operation


def add_common(parser: ArgumentParser, *, waits: bool = False) -> None:
    """--json, and where an operation is filed, --wait and --timeout."""
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    if waits:
        parser.add_argument("--wait", action="store_true", help="wait until the operation has ended")
        parser.add_argument(
            "--timeout", type=float, default=1800.0, metavar="SECONDS", help="how long --wait waits (default: 1800)"
        )


def add_at(parser: ArgumentParser) -> None:
    """--at, where an operation can be postponed."""
    parser.add_argument("--at", type=moment, metavar="TIME", help='not before this local time, like "2026-11-24 02:00"')


def moment(text: str) -> datetime:
    """A time in the future. Raises ArgumentTypeError."""
    try:
        found = timezone.make_aware(datetime.fromisoformat(text)) if "+" not in text else datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time. Write it like '2026-11-24 02:00'.") from None
    if found <= timezone.now():
        raise ArgumentTypeError(f"{text!r} is over. Name a time to come.")
    return found


def request_of(options: Mapping[str, Any]) -> Request:
    """Who asks on the command line, and for when (--at)."""
    return replace(REQUEST, not_before=options.get("at"))


def not_found(what: str, name: str, known: Iterable[str], command: str) -> NoReturn:
    """Exits with NOT_FOUND."""
    names = ", ".join(known)
    there = f"There are: {names}." if names else f"There is none yet: {command}"
    raise CommandError(f"There is no {what} {name!r}. {there}", returncode=NOT_FOUND)


def find_instance(name: str) -> Instance:
    """By id, slug, or slug.domain. Exits with NOT_FOUND, or USAGE where a slug stands for several."""
    present = Instance.objects.present().select_related("domain", "host", "version", "projector_logo")
    found = list(present.filter(pk=name)) or list(present.filter(slug=name))
    if not found and "." in name:
        slug, _, domain = name.partition(".")
        found = list(present.filter(slug=slug, domain__domain=domain))
    if not found:
        raise CommandError(
            f"There is no instance {name!r}. manage.py instance list shows those that are there.", returncode=NOT_FOUND
        )
    if len(found) > 1:
        names = ", ".join(sorted(str(instance) for instance in found))
        raise CommandError(f"{name!r} stands for several instances: {names}. Name one of them.", returncode=USAGE)
    return found[0]


def find_version(name: str | None) -> Version:
    """By name; the default one for None. Exits with NOT_FOUND."""
    versions = Version.objects.order_by("name")
    version = versions.filter(name=name).first() if name else versions.filter(default=True).first()
    if version is None:
        not_found("version", name or "default", versions.values_list("name", flat=True), "manage.py version add")
    return version


def find_domain(name: str | None) -> Domain:
    """By name; the default one, or the only one, for None. Exits with NOT_FOUND."""
    domains = Domain.objects.order_by("domain")
    if name:
        domain = domains.filter(domain=name).first()
    else:
        domain = domains.filter(default=True).first() or (domains.first() if domains.count() == 1 else None)
    if domain is None:
        not_found("domain", name or "default", domains.values_list("domain", flat=True), "add one in the admin")
    return domain


def describe(error: ValidationError) -> list[str]:
    """A line for each message, with the option that it is about."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    return [
        message if field == "__all__" else f"--{field.replace('_', '-')}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def failure_text(operation: Operation) -> str:
    at = f" at the step {operation.failed_step!r}" if operation.failed_step else ""
    ended = "was cancelled" if operation.status == Outcome.CANCELLED else "failed"
    return f"Operation {operation.pk} ({operation}) {ended}{at}: {operation.error}"


def operation_document(operation: Operation) -> dict[str, Any]:
    """An operation as the commands print it."""
    return {
        "id": operation.pk,
        "kind": operation.kind,
        "status": operation.status,
        "instance": operation.instance_id,
        "version": operation.version.name if operation.version else None,
        "progress": operation.progress,
        "error": operation.error,
        "failed_step": operation.failed_step,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
        "seconds": operation.seconds,
        "steps": [
            {"name": step.name, "status": step.status, "seconds": step.seconds} for step in operation.steps.all()
        ],
    }


def instance_document(instance: Instance, *, credentials: bool = False) -> dict[str, Any]:
    """An instance as the commands print it."""
    document: dict[str, Any] = {
        "id": instance.pk,
        "slug": instance.slug,
        "domain": instance.domain.domain,
        "url": instance.url,
        "state": instance.state,
        "desired_state": instance.desired_state,
        "needs_attention": instance.attention,
        "version": instance.version.name,
        "host": instance.host.name,
        "db": instance.db,
        "mode": instance.mode,
        "event_name": instance.event_name,
        "event_description": instance.event_description,
        "event_date": instance.event_date,
        "event_location": instance.event_location,
        "event_organizer": instance.event_organizer,
        "admin_username": instance.admin_username,
        "admin_first_name": instance.admin_first_name,
        "admin_last_name": instance.admin_last_name,
        "created_at": timezone.localtime(instance.created_at).isoformat(timespec="seconds"),
    }
    if credentials:
        document["admin_initial_password"] = instance.admin_initial_password
        document["superadmin_password"] = instance.superadmin_password
    return document


def confirmed(question: str) -> bool:
    """The answer to a yes/no question on the terminal; False, without asking, where there is none."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes", "j", "ja")
