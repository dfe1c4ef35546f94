"""What the scan of an embedded host, and the look for what users have written, must find: one leak of each kind.

    python -m tests.chaos.planted RESULT

A suite that finds nothing wrong says something only if it finds what is wrong. So it is put there, while nobody looks
after the instances, and each must be reported.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deployers.layout import EmbeddedLayout
from deployers.services.supervisor_rpc import Rpc
from tests.chaos.fleet import Finding
from tests.chaos.kinds import silence
from tests.chaos.plant import Plant
from tests.chaos.report import Report, told
from tests.chaos.scan import Planted, _scan, judge

if TYPE_CHECKING:
    from instances.models import Backup, Instance


def main() -> None:
    result, report = Path(sys.argv[1]), Report()
    made = Plant()
    with told("what is planted is found"):
        stray: subprocess.Popen[bytes] | None = None
        try:
            made.open()
            rows = made.make(6, "planted")
            if found := made.scan():
                report.trouble(f"before anything is planted: {found}")
            planted, stray = plant_all(made, rows)
            judge(report, planted, _scan(made.data_dir))
            judge_losses(report, made, rows[0])
        finally:
            left = made.close()
            if stray is not None:
                stray.wait()
        judge(report, [("a process that outlives the product", "the process sleep 1000", "")],
              [Finding(text) for text in left])  # fmt: skip
    report.save(result)


def plant_all(made: Plant, rows: list[Instance]) -> tuple[Planted, subprocess.Popen[bytes]]:
    """Comes back with a process that must be waited for."""
    from django.conf import settings

    from instances import claims, operations
    from instances.archives import store
    from instances.models import Backup, Instance

    intact, odd, silent, stopped, away, gone = rows
    made.do(operations.stop, [stopped])
    saved = [operation.backup for operation in made.do(operations.backup, [intact, odd])]
    made.do(operations.purge, [gone])
    layout, nobody = EmbeddedLayout(made.data_dir), secrets.token_hex(16)
    directory = layout.instance(odd.pk).directory
    with Rpc(layout.supervisor_socket, 30) as rpc:
        # Whoever looks after the instances is away: it would mend what is planted.
        for process in rpc.call("getAllProcessInfo"):  # type: ignore[union-attr]
            name = f"{process['group']}:{process['name']}"  # type: ignore[index,call-overload]
            if any(program in name for program in ("worker", "beat")) or silent.pk in name:
                rpc.call("stopProcess", name)
            elif stopped.pk in name:
                rpc.call("startProcess", name)

    strange = layout.instance(nobody).directory
    strange.mkdir()
    (layout.supervisor_instances / f"{nobody}.conf").write_text("")
    (directory / "strange").write_text("")
    (directory / "data" / "staging").mkdir()
    for token in ("1", "2"):
        (directory / "previous" / token).mkdir(parents=True)
        (directory / "previous" / token / "kept.json").write_text("{}")
    (directory / "release").write_text("3.0")
    layout.instance(away.pk).directory.rename(made.data_dir / "away")
    (made.data_dir / "versions" / "strange").mkdir()
    with store().write(f"{nobody}/strange.tar") as stream:
        stream.write(b"x")
    archives = Path(settings.BACKUP_DIR)
    (archives / nobody / "draft.tar.unfinished").write_text("")
    (archives / _name(saved[0])).unlink()
    with (archives / _name(saved[1])).open("r+b") as file:
        file.write(b"changed")
    Backup.objects.create(instance=intact, version=intact.version, host=intact.host, db=intact.db,
                          reason="manual", name=f"{intact.pk}/never.tar")  # fmt: skip
    Instance.objects.filter(pk=gone.pk).update(observed_state="error", port=1)
    with silence():
        assert claims.take(operations.start(intact, operations.Request()).pk) is not None
    stray = subprocess.Popen(["sleep", "1000"], env={"PATH": "/usr/bin:/bin", "HOME": str(strange)})

    return [
        ("a directory", f"the directory {nobody}", nobody),
        ("a service's file", f"the service file {nobody}", nobody),
        ("a process", "1 processes", nobody),
        ("a file in an instance's directory", "the file strange", odd.pk),
        ("a directory in an instance's directory", "the directory data/staging", odd.pk),
        ("copies from before updates", "2 copies of data", odd.pk),
        ("data of another version", "data of 3.0", odd.pk),
        ("no directory", "no directory", away.pk),
        ("a version", "the version strange", ""),
        ("an archive", f"the archive {nobody}/strange.tar", nobody),
        ("a draft of an archive", "the file draft.tar.unfinished", nobody),
        ("no archive", f"no archive {_name(saved[0])}", intact.pk),
        ("a changed archive", f"the archive {_name(saved[1])} is not what", odd.pk),
        ("a backup that is not complete", f"{intact.pk}/never.tar, which is not complete", intact.pk),
        ("an operation that has not ended", "is running", intact.pk),
        ("a state that the history does not know", "the state error", gone.pk),
        ("a port of a removed instance", "the port 1", gone.pk),
        ("a service that runs and should not", "RUNNING and shall be stopped", stopped.pk),
        ("a service that should run and does not", "STOPPED and shall be active", silent.pk),
        ("a process that should not be", "not 0 but", stopped.pk),
        ("no process", "not 1 but", silent.pk),
        ("no port", "nothing that listens", silent.pk),
    ], stray  # fmt: skip


def _name(backup: Backup | None) -> str:
    assert backup is not None
    return backup.name


def judge_losses(report: Report, made: Plant, row: Instance) -> None:
    """A mark that is gone from the database, one whose file is gone, a database that is gone."""
    database = made.data(row) / "database.sqlite"

    def delete_row() -> None:
        import sqlite3

        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM core_tag WHERE name = 'in-rows'")
        connection.close()

    losses: dict[str, Callable[[], object]] = {
        "in-rows": delete_row,
        "in-files": (made.media(row) / "in-files.txt").unlink,
        "the database": lambda: database.rename(database.with_name("away")),
    }
    for text in list(losses)[:2]:
        made.mark(row, text)
    if lost := made.lost(row):
        report.trouble(f"before anything is taken away: {lost}")
    for what, take_away in losses.items():
        take_away()
        is_there = any(what in text for text in made.lost(row))
        report.trial("taken away, and missed", 0.0 if is_there else None)
        if not is_there:
            report.trouble(f"taken away, and not missed: {what}")


if __name__ == "__main__":
    main()
