"""Races for one instance on PostgreSQL: operators, the API and the system ask at the same moment.

    python -m tests.chaos.races RESULT

RACES=1000 (the default; 200 with ROUNDS=0). Of each race exactly one operation must come; whoever loses is told so with
the typed error, or with 409. Then workers race for the operation, as they do when its message comes several times: one
gets it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from tests.chaos.report import Report, told
from tests.embedded.product import JSON_API
from tests.postgresql import cluster

if TYPE_CHECKING:
    from instances.models import Instance, Operation

RACES, RACES_IN_SHORT = 1000, 200
RUNNERS = 4
LOST = "lost"


class Track:
    """One instance, and those who race for it."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model

        from instances import deployment
        from tests.factories import make_host, make_installed, make_version
        from tests.unit.pretended_host import PretendedHost

        # No worker runs what wins: these races are about rows.
        self.host = PretendedHost(prepared={"3.4"})
        deployment.embedded_deployer = lambda _settings: self.host
        self.row = make_host(name="localhost")
        self.instance: Instance = make_installed(host=self.row)
        self.newer = make_version(name="3.4", image="pypi:openslides==3.4")
        self.user = get_user_model().objects.create_superuser("operator", password="x")

    def reset(self) -> None:
        """As before the race: installed, wanted active, and nothing is asked for."""
        from django.utils import timezone

        from instances.models import Backup, Instance, Operation

        Operation.objects.filter(finished_at=None).update(status="succeeded", finished_at=timezone.now())
        Backup.objects.filter(completed_at=None).delete()
        Instance.objects.filter(pk=self.instance.pk).update(
            desired_state="active", observed_state="active", retries=0, retry_at=None, attention="", failure=""
        )
        self.instance.state_changes.all().delete()

    def runners(self) -> Sequence[Callable[[], str]]:
        """Each gives "won", "lost", or what went wrong."""
        return (
            self.operator("start"),
            self.operator(random.choice(("stop", "backup", "remove", "update", "purge"))),
            self.over_the_api("stop"),
            self.system,
        )

    def operator(self, kind: str) -> Callable[[], str]:
        from instances import operations
        from instances.choices import Origin
        from instances.errors import OperationRunning
        from instances.models import Instance

        def ask() -> str:
            instance = Instance.objects.select_related("host", "version", "domain").get(pk=self.instance.pk)
            request = operations.Request(Origin.ADMIN, self.user)
            try:
                if kind == "update":
                    operations.update(instance, self.newer, request)
                else:
                    getattr(operations, kind)(instance, request)
            except OperationRunning as refused:
                return LOST if refused.running.pk else "refused without naming what runs"
            return "won"

        return ask

    def over_the_api(self, kind: str) -> Callable[[], str]:
        """An operation by its kind: unlike a state that is wished for, it is never there already."""
        from rest_framework.test import APIClient

        relationships = {"instance": {"data": {"type": "instances", "id": self.instance.pk}}}
        document = {"data": {"type": "operations", "attributes": {"kind": kind}, "relationships": relationships}}

        def ask() -> str:
            client = APIClient(HTTP_HOST="localhost")
            client.force_authenticate(self.user)
            answer = client.post("/api/operations", json.dumps(document), content_type=JSON_API)
            if answer.status_code == 409 and b"operation_running" in answer.content:
                return LOST
            return "won" if answer.status_code in (201, 202) else f"{answer.status_code} {answer.content!r}"

        return ask

    def system(self) -> str:
        """The periodic look, which finds that the instance does not run."""
        from instances import looks

        before = self.filed()
        looks.look_after(self.row)
        return "won" if self.filed() > before else LOST

    def filed(self) -> int:
        """How many operations of the system there were ever."""
        from instances.models import Operation

        return Operation.objects.filter(requested_via="system").count()

    def all(self) -> list[int]:
        """The numbers of all operations that there ever were of it."""
        from instances.models import Operation

        return list(Operation.objects.filter(instance=self.instance).values_list("pk", flat=True))

    def unfinished(self) -> list[Operation]:
        from instances.models import Operation

        return list(Operation.objects.unfinished().filter(instance=self.instance))


def together(pool: ThreadPoolExecutor, actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all at the same moment, each in a thread of its own; an exception is a result, too."""
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        start.wait(30)
        try:
            return action()
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return [done.result(60) for done in [pool.submit(run, action) for action in actions]]


def race(track: Track, pool: ThreadPoolExecutor, report: Report) -> None:
    from instances import claims

    track.reset()
    before = len(track.all())
    began = time.monotonic()
    results = together(pool, track.runners())
    waiting = track.unfinished()
    wrong = [str(result) for result in results if result not in ("won", LOST)]
    if len(waiting) != 1 or len(track.all()) != before + 1:
        wrong.append(f"{len(waiting)} operations wait, {len(track.all()) - before} were filed: {results}")
    if results.count("won") != 1:
        wrong.append(f"not exactly one was told that it won: {results}")
    seconds = time.monotonic() - began
    report.trial("two operators, API and system race", None if wrong else seconds, at=str(results))
    for text in wrong:
        report.trouble(f"race: {text}")
    if waiting:
        taken = together(pool, [lambda: claims.take(waiting[0].pk)] * RUNNERS)
        got = [operation for operation in taken if operation is not None]
        report.trial("four workers race for an operation", seconds if len(got) == 1 else None)
        if len(got) != 1:
            report.trouble(f"race of workers: {got}")


def main() -> None:
    default = RACES_IN_SHORT if os.environ.get("ROUNDS") == "0" else RACES
    result, races = Path(sys.argv[1]), int(os.environ.get("RACES") or default)
    report = Report()
    with cluster() as url, tempfile.TemporaryDirectory(prefix="mi-") as place:
        os.environ.update(DATABASE_URL=url, DATA_DIR=place, ENV_FILE=os.devnull, BROKER_URL="memory://")
        os.environ["DJANGO_SETTINGS_MODULE"] = "multiinstance.settings"
        django.setup()
        logging.disable(logging.CRITICAL)
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", interactive=False, verbosity=0)
        track = Track()
        with told(f"{races} races on PostgreSQL"), ThreadPoolExecutor(RUNNERS) as pool:
            for _ in range(races):
                race(track, pool, report)
            together(pool, [connection.close] * RUNNERS)
        connection.close()
    report.save(result)


if __name__ == "__main__":
    main()
