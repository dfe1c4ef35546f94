"""What the scan of a production host must find: one leak of each kind that the control plane's own user can make."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import booted_scan
from tests.chaos.booted_fleet import BootedFleet
from tests.chaos.fleet import OLD
from tests.chaos.report import Report
from tests.chaos.scan import Planted, judge

if TYPE_CHECKING:
    from instances.models import Instance

INSTANCES = Path("/srv/openslides/instances")
SLEEP = (sys.executable, "-c", "import time; time.sleep(1000)")


def run(fleet: BootedFleet, report: Report) -> None:
    """Plant, look, take it all away again, and look once more."""
    rows = fleet.make(3, "planted")
    report_all(report, "before anything is planted", fleet)
    with ExitStack() as stack:
        planted = plant_all(rows, stack.callback)
        judge(report, planted, booted_scan._scan(), fleet.name)
    fleet.purge(rows)
    report_all(report, "after all was taken away", fleet)


def report_all(report: Report, when: str, fleet: BootedFleet) -> None:
    if found := fleet.scan():
        report.trouble(f"{when}: {found}")


def plant_all(rows: list[Instance], later: Callable[..., object]) -> Planted:
    """``later``: called with what takes each away again."""
    from django.db import connection

    from instances.archives import store
    from instances.deployment import deployer_for

    odd, silent, large = rows
    nobody = secrets.token_hex(16)

    strange = INSTANCES / nobody
    strange.mkdir()
    later(shutil.rmtree, strange)
    link = Path("/srv/openslides/by-name") / str(odd.domain_id) / "strange"
    link.symlink_to(strange)
    later(link.unlink)
    (INSTANCES / odd.pk / "strange").write_text("")
    later((INSTANCES / odd.pk / "strange").unlink)
    release = INSTANCES / odd.pk / "release"
    later(release.write_text, release.read_text())
    release.write_text("3.0")

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE openslides_{nobody}")
        cursor.execute(f"CREATE DATABASE openslides_{nobody}")
    later(_drop, nobody)
    name = booted_scan.IN_REDIS.rpartition(" ")[2]
    client = booted_scan.redis_client()
    client.acl_setuser(name.replace("ID", nobody), enabled=False)
    client.set(f"openslides-{nobody}:strange", "x")
    later(client.delete, f"openslides-{nobody}:strange")
    later(client.acl_deluser, name.replace("ID", nobody))
    # Purged in a moment, and so without its own.
    client.acl_deluser(name.replace("ID", large.pk))

    booted_scan.podman("create", "--name", f"openslides-{nobody}", f"localhost/openslides:{OLD}", "true")
    later(booted_scan.podman, "rm", "--force", f"openslides-{nobody}")
    process = subprocess.Popen([*SLEEP, nobody])
    later(process.wait)
    later(process.kill)
    with store().write(f"{nobody}/strange.tar") as stream:
        stream.write(b"x")
    later(store().delete, f"{nobody}/strange.tar")
    deployer_for("systemd").parts.services.stop(silent.pk)  # type: ignore[attr-defined]

    return [
        ("a directory", "file /srv/openslides/instances/ID", nobody),
        ("an address", f"by-name/{odd.domain_id}/strange", nobody),
        ("a file in an instance's directory", "the file strange", odd.pk),
        ("data of another version", "data of another release", odd.pk),
        ("a role", "role openslides_ID", nobody),
        ("a database", "database openslides_ID", nobody),
        ("an account in Redis", "Redis user openslides-ID", nobody),
        ("a key in Redis", "key openslides-ID:strange", nobody),
        ("no account in Redis", "no Redis user openslides-ID", large.pk),
        ("a container", "container openslides-ID", nobody),
        ("a process", "process python", nobody),
        ("an archive", f"the archive {nobody}/strange.tar", nobody),
        ("a service that should run and does not", "no container openslides-ID", silent.pk),
        ("no process", "no process", silent.pk),
    ]


def _drop(nobody: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE openslides_{nobody}")
        cursor.execute(f"DROP ROLE openslides_{nobody}")
