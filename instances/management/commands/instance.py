"""``manage.py instance``: add, list, show, start, stop, update and remove instances."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from instances import availability, operations
from instances.choices import Db, Mode, State
from instances.console import (
    NOT_FOUND,
    REQUEST,
    USAGE,
    ConsoleCommand,
    add_at,
    add_common,
    confirmed,
    find_domain,
    find_instance,
    find_version,
    instance_document,
    request_of,
)
from instances.models import Instance

TEXTS = (
    "event_name",
    "event_description",
    "event_date",
    "event_location",
    "event_organizer",
    "admin_first_name",
    "admin_last_name",
    "admin_username",
)
PASSWORDS = ("superadmin_password", "admin_initial_password")


class Command(ConsoleCommand):
    help = "Add, list, show, start, stop, try again, update, remove, bring back or purge OpenSlides instances."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        add = actions.add_parser("add", help="add an instance and create it")
        add.add_argument("slug", help="its name in its address: lower case letters, digits, hyphens")
        add.add_argument("--domain", help="a registered domain (default: the default one)")
        add.add_argument("--version", help="a registered version (default: the default one)", dest="version_name")
        add.add_argument("--mode", choices=Mode.values, default=Mode.SUBDOMAIN)
        add.add_argument("--db", choices=Db.values, default="", help="default: what the host has")
        for name in TEXTS:
            field = Instance._meta.get_field(name)
            add.add_argument(
                f"--{name.replace('_', '-')}", metavar="TEXT", help=str(getattr(field, "verbose_name", ""))
            )
        for name in PASSWORDS:
            add.add_argument(
                f"--{name.replace('_', '-')}-file",
                metavar="FILE",
                help="a file with the password in its first line, - for standard input (default: a generated one)",
            )
        add_common(add, waits=True)

        listing = actions.add_parser("list", help="list the instances")
        listing.add_argument("--state", choices=State.values, help="only those in this state")
        add_common(listing)

        show = actions.add_parser("show", help="show one instance")
        show.add_argument("--credentials", action="store_true", help="with the passwords")
        add_common(show)

        update = actions.add_parser("update", help="move an instance to another version")
        for action, help_text in (("start", "start an instance"), ("stop", "stop an instance")):
            startable = self.naming(actions.add_parser(action, help=help_text))
            add_at(startable)
            add_common(startable, waits=True)
        self.naming(show)
        past = self.naming(actions.add_parser("history", help="show the availability, and the time in each state"))
        past.add_argument("--days", type=days, default=30, metavar="DAYS", help="of the last DAYS (default: 30)")
        add_common(past)
        self.naming(update).add_argument("version_name", metavar="VERSION", help="the name of a registered version")
        add_at(update)
        add_common(update, waits=True)
        remove = self.naming(actions.add_parser("remove", help="remove an instance with all its data"))
        remove.add_argument("--yes", action="store_true", help="do not ask")
        add_at(remove)
        add_common(remove, waits=True)
        again = self.naming(
            actions.add_parser("try-again", help="try at once what the system has tried in vain, and may do so again")
        )
        add_common(again, waits=True)
        back = self.naming(actions.add_parser("bring-back", help="make a removed instance again, of its last backup"))
        back.add_argument("--backup", type=int, metavar="NUMBER", help="of another one of its backups")
        add_common(back, waits=True)
        purge = self.naming(actions.add_parser("purge", help="remove an instance for ever, with all its backups"))
        purge.add_argument("--yes", action="store_true", help="do not ask")
        add_common(purge, waits=True)

    @staticmethod
    def naming(parser: ArgumentParser) -> ArgumentParser:
        parser.add_argument("instance", help="its id, its slug, or slug.domain")
        return parser

    def do_add(self, slug: str, **options: Any) -> None:
        values = {name: options[name] for name in TEXTS if options[name] is not None}
        for name in PASSWORDS:
            if options[f"{name}_file"]:
                values[name] = read_password(options[f"{name}_file"])
        instance = Instance(
            slug=slug,
            domain=find_domain(options["domain"]),
            version=find_version(options["version_name"]),
            mode=options["mode"],
            db=options["db"],
            **values,
        )
        instance.fill_in()
        instance.full_clean(exclude=["host"])
        operation = operations.create(instance, REQUEST)
        if not options["json"]:
            self.stdout.write(f"{instance} is added, its id is {instance.pk}.")
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])
        if options["wait"] and not options["json"]:
            self.stdout.write(f"It answers at {find_instance(instance.pk).url}")

    def do_list(self, state: str | None, **options: Any) -> None:
        found = Instance.objects.present().select_related("domain", "host", "version", "projector_logo")
        shown = [instance for instance in found if state is None or instance.state == state]
        if options["json"]:
            self.print_json([instance_document(instance) for instance in shown])
        elif not shown:
            self.stdout.write(
                "There is no instance"
                + (f" in the state {state}." if state else ". Add one: manage.py instance add SLUG")
            )
        else:
            self.print_table(
                ("INSTANCE", "STATE", "VERSION", "ADDRESS", "EVENT"),
                ((str(one), one.state, one.version.name, one.url or "-", one.event_name) for one in shown),
            )

    def do_show(self, instance: str, credentials: bool, **options: Any) -> None:
        document = instance_document(find_instance(instance), credentials=credentials)
        if options["json"]:
            self.print_json(document)
        else:
            width = max(map(len, document))
            for name, value in document.items():
                self.stdout.write(f"{name:{width}}  {value}".rstrip())

    def do_history(self, instance: str, days: int, **options: Any) -> None:
        """Of a present instance, or else of a removed one."""
        found = find_any(instance)
        report = availability.report(found, days)
        if options["json"]:
            self.print_json({"instance": found.pk, **report.document})
        elif report.since is None:
            self.stdout.write(f"Nothing is known of {found} in this time: its state has not changed yet.")
        else:
            figures = report.figures
            share = "nothing is counted" if figures.percent is None else f"{figures.percent:g} %"
            down = str(figures.down).partition(".")[0]
            since = timezone.localtime(report.since)
            self.stdout.write(
                f"{found} since {since:%Y-%m-%d %H:%M}: {share}, outages: {figures.outages}, down: {down}"
            )
            times = report.times.items()
            self.print_table(("STATE", "TIME"), ((state.value, str(time).partition(".")[0]) for state, time in times))

    def do_start(self, instance: str, **options: Any) -> None:
        found = find_instance(instance)
        # One whose creation failed is started by creating it again.
        asked = request_of(options)
        operation = operations.start(found, asked) if found.is_installed else operations.create(found, asked)
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_stop(self, instance: str, **options: Any) -> None:
        operation = operations.stop(find_instance(instance), request_of(options))
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_try_again(self, instance: str, **options: Any) -> None:
        operation = operations.try_again(find_instance(instance), request_of(options))
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_update(self, instance: str, version_name: str, **options: Any) -> None:
        operation = operations.update(find_instance(instance), find_version(version_name), request_of(options))
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_remove(self, instance: str, yes: bool, **options: Any) -> None:
        found = find_instance(instance)
        if not yes and not confirmed(f"Remove {found} ({found.event_name}) with all its data?"):
            raise CommandError("Nothing was removed. Without a terminal, confirm with --yes.", returncode=USAGE)
        operation = operations.remove(found, request_of(options))
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_bring_back(self, instance: str, backup: int | None, **options: Any) -> None:
        found = find_removed(instance)
        chosen = None
        if backup is not None:
            chosen = found.backups.filter(pk=backup).first() if backup < 2**63 else None
            if chosen is None:
                raise CommandError(
                    f"{found} has no backup {backup}. See: manage.py backup list {found.pk}", returncode=NOT_FOUND
                )
        operation = operations.bring_back(found, REQUEST, chosen)
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])

    def do_purge(self, instance: str, yes: bool, **options: Any) -> None:
        """Of a present instance, or else of a removed one."""
        found = find_any(instance)
        count = found.backups.complete().count()
        if not yes and not confirmed(f"Delete {found} ({found.event_name}) and its {count} backups for ever?"):
            raise CommandError("Nothing was purged. Without a terminal, confirm with --yes.", returncode=USAGE)
        operation = operations.purge(found, REQUEST)
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])


def days(text: str) -> int:
    """Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is no number of days. Write one from 1 to 9999.")
    return int(text)


def find_any(name: str) -> Instance:
    """A present instance, or else a removed one. Exits as the two do that it asks."""
    try:
        return find_instance(name)
    except CommandError as error:
        if error.returncode != NOT_FOUND:
            raise
        return find_removed(name)


def find_removed(name: str) -> Instance:
    """By id, slug, or slug.domain, among those that are removed. Exits with NOT_FOUND, or USAGE where it is several."""
    slug, _, domain = name.partition(".")
    removed = Instance.objects.exclude(removed_at=None).select_related("domain", "host", "version")
    by_slug = removed.filter(slug=slug, domain__domain=domain) if domain else removed.filter(slug=name)
    found = list(removed.filter(pk=name)) or list(by_slug)
    if not found:
        raise CommandError(
            f"There is no removed instance {name!r}. manage.py backup list --removed shows which can come back.",
            returncode=NOT_FOUND,
        )
    if len(found) > 1:
        ids = ", ".join(f"{one.pk} (removed on {one.removed_at:%Y-%m-%d %H:%M})" for one in found)
        raise CommandError(
            f"{name!r} stands for several removed instances. Name one by its id: {ids}", returncode=USAGE
        )
    return found[0]


def read_password(source: str) -> str:
    """The first line of a file, or of standard input for ``-``."""
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The password file {source} cannot be read: {error}", returncode=USAGE) from error
    password = text.splitlines()[0] if text else ""
    if not password:
        raise CommandError(f"The password file {source} is empty.", returncode=USAGE)
    return password
