"""``manage.py rollout``: update many instances in waves."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils import timezone

from instances import rollouts
from instances.choices import RolloutItemStatus, RolloutStatus
from instances.console import (
    FAILED,
    NOT_FOUND,
    POLL_SECONDS,
    REQUEST,
    TIMED_OUT,
    USAGE,
    ConsoleCommand,
    add_at,
    add_common,
    find_instance,
    find_version,
)
from instances.models import Instance, Rollout, RolloutItem
from instances.rollouts import DEFAULT_FAILURE_PERCENT, DEFAULT_WAVES, LEFT_OUT, Plan

ENDED = (RolloutItemStatus.UPDATED, RolloutItemStatus.FAILED, RolloutItemStatus.SKIPPED)


class Command(ConsoleCommand):
    help = "Update many instances in waves: begin, list, show, resume or cancel."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        begin = actions.add_parser("begin", help="update instances to a version, some at a time")
        begin.add_argument("version_name", metavar="VERSION", help="the name of a registered version")
        begin.add_argument("instances", nargs="*", metavar="INSTANCE", help="ids, slugs, or slug.domain; or --all")
        begin.add_argument("--all", action="store_true", help="all that can be updated, the oldest first")
        begin.add_argument(
            "--waves",
            default=DEFAULT_WAVES,
            help="instances per wave, in numbers or percent of all; the last is repeated (default: 1,5,20%%)",
        )
        begin.add_argument(
            "--failures",
            type=int,
            choices=range(101),
            default=DEFAULT_FAILURE_PERCENT,
            metavar="PERCENT",
            help="of a wave; when more fail, nothing more is begun (default: 10)",
        )
        add_at(begin)
        begin.add_argument("--dry-run", action="store_true", help="print the waves, and begin nothing")
        add_common(begin, waits=True)

        add_common(actions.add_parser("list", help="list the updates of many, the newest first"))
        for action, help_text, waits in (
            ("show", "show how far one is", False),
            ("resume", "go on with one that has stopped", True),
            ("cancel", "begin nothing more; what runs comes to its end", False),
        ):
            one = actions.add_parser(action, help=help_text)
            one.add_argument("number", type=int, metavar="NUMBER", help="as list shows it")
            if action == "resume":
                one.add_argument("--retry-failed", action="store_true", help="try first again what failed")
            add_common(one, waits=waits)

    def do_begin(
        self, version_name: str, instances: list[str], all: bool, waves: str, failures: int, **options: Any
    ) -> None:
        version = find_version(version_name)
        if bool(instances) == all:
            raise CommandError("Name the instances, or take all with --all.", returncode=USAGE)
        chosen: list[Instance]
        if all:
            present = Instance.objects.present().select_related("host", "domain", "version")
            chosen = [one for one in present.order_by("created_at", "pk") if one.version_id != version.pk]
        else:
            chosen = [find_instance(name) for name in instances]
        if options["dry_run"]:
            self._print_plan(rollouts.plan(version, chosen, waves), as_json=options["json"])
            return
        rollout = rollouts.begin(
            version, chosen, REQUEST, waves=waves, failure_percent=failures, not_before=options["at"]
        )
        if not options["json"]:
            begins = f"begins at {timezone.localtime(options['at']):%Y-%m-%d %H:%M}" if options["at"] else "has begun"
            self.stdout.write(f"The update of many number {rollout.pk} to {version} {begins}.")
            self._print_left_out(rollout)
        self._follow(rollout, **options)

    def do_list(self, **options: Any) -> None:
        found: list[Any] = list(_rows())
        if options["json"]:
            self.print_json([summary(rollout) for rollout in found])
        elif not found:
            self.stdout.write("There is no update of many. Begin one: manage.py rollout begin VERSION --all")
        else:
            self.print_table(
                ("NUMBER", "TO", "STATUS", "WAVE", "DONE", "FAILED", "BEGUN"),
                (
                    (
                        str(one.pk),
                        one.version.name,
                        one.status,
                        str(one.wave),
                        f"{one.updated + one.failed + one.skipped} of {_total(one)}",
                        str(one.failed),
                        f"{timezone.localtime(one.created_at):%Y-%m-%d %H:%M}",
                    )
                    for one in found
                ),
            )

    def do_show(self, number: int, **options: Any) -> None:
        rollout = _find(number)
        if options["json"]:
            self.print_json(document(rollout))
            return
        self.stdout.write(f"Update of many number {rollout.pk} to {rollout.version}: {rollout.status}")
        if rollout.reason:
            self.stdout.write(rollout.reason)
        self.print_table(
            ("WAVE", "INSTANCE", "STATUS", "OPERATION", "NOTE"),
            (
                (
                    "-" if item.wave == LEFT_OUT else str(item.wave),
                    str(item.instance),
                    item.status,
                    str(item.operation_id or "-"),
                    item.note,
                )
                for item in _items(rollout)
            ),
        )

    def do_resume(self, number: int, retry_failed: bool, **options: Any) -> None:
        rollout = rollouts.resume(_find(number), retry_failed=retry_failed)
        if not options["json"]:
            self.stdout.write(f"The update of many number {rollout.pk} goes on with wave {rollout.wave}.")
        self._follow(rollout, **options)

    def do_cancel(self, number: int, **options: Any) -> None:
        rollout = rollouts.cancel(_find(number), REQUEST)
        if options["json"]:
            self.print_json(document(_find(rollout.pk)))
        else:
            running = rollout.items.filter(status=RolloutItemStatus.RUNNING).count()
            self.stdout.write(f"The update of many number {rollout.pk} is cancelled. Still running: {running}.")

    def _follow(self, rollout: Rollout, *, wait: bool, timeout: float, **options: Any) -> None:
        if wait:
            self._wait(rollout, timeout, quiet=options["json"])
        found = _find(rollout.pk)
        if options["json"]:
            self.print_json(document(found))
        if wait and found.status != RolloutStatus.FINISHED:
            raise CommandError(
                f"The update of many number {found.pk} is {found.status}: {found.reason}", returncode=FAILED
            )
        if wait and not options["json"]:
            self.stdout.write(f"Updated: {found.updated}. Failed: {found.failed}. Skipped: {found.skipped}.")

    def _wait(self, rollout: Rollout, timeout: float, *, quiet: bool) -> None:
        """Until it does not go on by itself; says what came of each instance meanwhile. Exits with TIMED_OUT."""
        deadline = time.monotonic() + timeout
        told = set(rollout.items.filter(status__in=ENDED).values_list("pk", flat=True))
        while True:
            going_on = Rollout.objects.filter(pk=rollout.pk, status=RolloutStatus.RUNNING).exists()
            for item in _items(rollout).filter(status__in=ENDED).exclude(pk__in=told):
                told.add(item.pk)
                if not quiet:
                    note = f": {item.note}" if item.note else ""
                    self.stderr.write(f"wave {item.wave}: {item.instance}: {item.get_status_display()}{note}")
            if not going_on:
                return
            if time.monotonic() > deadline:
                raise CommandError(
                    f"The update of many number {rollout.pk} is not finished after {timeout:.0f} s. "
                    "It goes on by itself.",
                    returncode=TIMED_OUT,
                )
            time.sleep(5 * POLL_SECONDS)

    def _print_plan(self, plan: Plan, *, as_json: bool) -> None:
        if as_json:
            self.print_json(
                {
                    "waves": [[str(instance) for instance in wave] for wave in plan.waves],
                    "left_out": {str(instance): reason for instance, reason in plan.left_out},
                }
            )
            return
        self.print_table(
            ("WAVE", "INSTANCES", "WHICH"),
            ((str(n), str(len(wave)), ", ".join(map(str, wave))) for n, wave in enumerate(plan.waves, 1)),
        )
        for instance, reason in plan.left_out:
            self.stdout.write(f"Left out: {instance}: {reason}")

    def _print_left_out(self, rollout: Rollout) -> None:
        for item in _items(rollout).filter(wave=LEFT_OUT):
            self.stdout.write(f"Left out: {item.instance}: {item.note}")


def summary(rollout: Any) -> dict[str, Any]:
    """As the commands print it, without the single instances. Reads the counts of ``rollouts.with_counts``."""
    return {
        "id": rollout.pk,
        "version": rollout.version.name,
        "status": rollout.status,
        "reason": rollout.reason,
        "waves": rollout.waves,
        "failure_percent": rollout.failure_percent,
        "wave": rollout.wave,
        "counts": {name: getattr(rollout, name) for name in (*RolloutItemStatus.values, "left_out")},
        "not_before": rollout.not_before,
        "created_at": rollout.created_at,
        "finished_at": rollout.finished_at,
    }


def document(rollout: Any) -> dict[str, Any]:
    """With what came of each instance."""
    items = [
        {
            "instance": item.instance_id,
            "name": str(item.instance),
            "wave": item.wave,
            "status": item.status,
            "operation": item.operation_id,
            "note": item.note,
        }
        for item in _items(rollout)
    ]
    return {**summary(rollout), "items": items}


def _rows() -> QuerySet[Rollout]:
    return rollouts.with_counts(Rollout.objects.all()).select_related("version").order_by("-id")


def _find(number: int) -> Any:
    """Exits with NOT_FOUND."""
    found = _rows().filter(pk=number).first() if number < 2**63 else None
    if found is None:
        raise CommandError(
            f"There is no update of many with the number {number}. manage.py rollout list shows those that are there.",
            returncode=NOT_FOUND,
        )
    return found


def _items(rollout: Rollout) -> QuerySet[RolloutItem]:
    return RolloutItem.objects.filter(rollout=rollout).select_related("instance__domain").order_by("wave", "id")


def _total(rollout: Any) -> int:
    return sum(getattr(rollout, name) for name in RolloutItemStatus.values)
