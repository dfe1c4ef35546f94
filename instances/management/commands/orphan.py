"""``manage.py orphan``: what hosts have and no instance owns."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.timezone import localtime

from instances import orphans
from instances.console import NOT_FOUND, USAGE, ConsoleCommand, add_common
from instances.models import Orphan


class Command(ConsoleCommand):
    help = "List what hosts have and no instance owns, or let it be removed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add_common(actions.add_parser("list", help="list the orphans, as hosts were last searched for them"))
        remove = actions.add_parser("remove", help="let the host remove an orphan, and all that is in it")
        remove.add_argument("name", nargs="?", help="as the list has it")
        remove.add_argument("--all", action="store_true", help="every orphan of the list")
        remove.add_argument("--yes", action="store_true", help="do not ask")
        add_common(remove)

    def do_list(self, **options: Any) -> None:
        found: list[Any] = list(orphans.named(Orphan.objects.select_related("host")))
        if options["json"]:
            self.print_json([document(orphan) for orphan in found])
        elif not found:
            self.stdout.write("Nothing is left over.")
        else:
            self.print_table(
                ("NAME", "KIND", "HOST", "FIRST SEEN", "OF", "PROBLEM"),
                (
                    (
                        orphan.name,
                        orphan.get_kind_display(),
                        orphan.host.name,
                        f"{localtime(orphan.first_seen_at):%Y-%m-%d %H:%M}",
                        orphan.made_for or "",
                        orphan.problem or ("being removed" if orphan.removal_asked_at else ""),
                    )
                    for orphan in found
                ),
            )

    def do_remove(self, name: str | None, **options: Any) -> None:
        if (name is None) is not options["all"]:
            raise CommandError("Name one orphan, or say --all.", returncode=USAGE)
        found = orphans.named(Orphan.objects.select_related("host"))
        chosen = list(found if options["all"] else found.filter(name=name))
        if not chosen and not options["all"]:
            raise CommandError(f"There is no orphan {name}. See: manage.py orphan list", returncode=NOT_FOUND)
        if not options["yes"]:
            lost = "\n  ".join(f"{orphan}: {orphans.loss(orphan)}" for orphan in chosen)
            raise CommandError(f"This would be lost for ever:\n  {lost}\nSay --yes.", returncode=USAGE)
        orphans.ask_removal(chosen, None)
        if options["json"]:
            self.print_json([document(orphan) for orphan in chosen])
        else:
            self.stdout.write(f"The removal of {len(chosen)} is asked for.")


def document(orphan: Any) -> dict[str, Any]:
    """An orphan of ``orphans.named`` as the command prints it."""
    return {
        "name": orphan.name,
        "kind": orphan.kind,
        "host": orphan.host.name,
        "instance": orphan.instance_id,
        "made_for": orphan.made_for,
        "first_seen_at": orphan.first_seen_at,
        "removal_asked_at": orphan.removal_asked_at,
        "problem": orphan.problem,
    }
