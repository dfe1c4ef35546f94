"""``manage.py lock``: actions that nobody may ask for on an instance."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from instances.choices import LOCKABLE
from instances.console import NOT_FOUND, ConsoleCommand, add_common, find_instance
from instances.models import ActionLock

ACTIONS = [kind.value for kind in LOCKABLE]


class Command(ConsoleCommand):
    help = "Lock and unlock actions on an instance. One that has a lock is left alone by the system, too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add = actions.add_parser("add", help="lock actions")
        add.add_argument("instance", help="its id, its slug, or slug.domain")
        add.add_argument("locked", nargs="+", choices=[*ACTIONS, "all"], metavar="WHAT", help=", ".join(ACTIONS))
        add.add_argument("--reason", required=True, help="shown to everybody who asks for the action")
        add_common(add)
        remove = actions.add_parser("remove", help="unlock actions")
        remove.add_argument("instance", help="its id, its slug, or slug.domain")
        remove.add_argument("locked", nargs="+", choices=[*ACTIONS, "all"], metavar="WHAT", help=", ".join(ACTIONS))
        add_common(remove)
        add_common(actions.add_parser("list", help="list all locks"))

    def do_add(self, instance: str, locked: list[str], reason: str, **options: Any) -> None:
        found = find_instance(instance)
        for action in ACTIONS if "all" in locked else locked:
            lock = ActionLock.objects.filter(instance=found, action=action).first()
            lock = lock or ActionLock(instance=found, action=action)
            lock.reason = reason
            lock.full_clean()
            lock.save()
        self.show(options["json"])

    def do_remove(self, instance: str, locked: list[str], **options: Any) -> None:
        found = find_instance(instance)
        wanted = ACTIONS if "all" in locked else locked
        there = list(ActionLock.objects.filter(instance=found, action__in=wanted))
        if not there:
            raise CommandError(f"{found} has no such lock. See: manage.py lock list", returncode=NOT_FOUND)
        for lock in there:
            lock.delete()
        self.show(options["json"])

    def do_list(self, **options: Any) -> None:
        self.show(options["json"])

    def show(self, as_json: bool) -> None:
        locks = list(ActionLock.objects.select_related("instance__domain", "locked_by"))
        if as_json:
            self.print_json(
                [
                    {"instance": lock.instance_id, "action": lock.action, "reason": lock.reason, "at": lock.locked_at}
                    for lock in locks
                ]
            )
        elif not locks:
            self.stdout.write("Nothing is locked.")
        else:
            self.print_table(
                ("INSTANCE", "ACTION", "REASON", "SINCE"),
                (
                    (
                        str(lock.instance),
                        lock.action,
                        lock.reason,
                        f"{timezone.localtime(lock.locked_at):%Y-%m-%d %H:%M}",
                    )
                    for lock in locks
                ),
            )
