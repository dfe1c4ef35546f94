"""What is on an embedded host against what the rows say: every file, service, process and port of every instance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployers.layout import EmbeddedLayout
from deployers.services.supervisor_rpc import Rpc
from tests.chaos.fleet import Finding
from tests.chaos.report import Report
from tests.observing import listens, processes_of, wait_for

if TYPE_CHECKING:
    from instances.models import Instance

ID = re.compile(r"[0-9a-f]{32}")
OF_AN_INSTANCE = re.compile(
    r"settings\.py|release|restored|log/instance\.log|static(/.*)?|data/database\.sqlite(-wal|-shm|-journal)?|data/media(/.*)?"
    r"|previous/(?P<token>[0-9]+)/(settings\.py|kept\.json|switched|healthy|database\.sqlite|media(/.*)?)"
)
PASSING = re.compile(r"\.(new|unfinished|gone|draft|aside|tmp)$|/(staging|migrate)(/|$)")
SETTLING_SECONDS = 15.0


Planted = list[tuple[str, str, str]]
"""What was planted, a part of the text that must report it, and the instance's id."""


def judge(report: Report, planted: Planted, found: Iterable[Finding], where: str = "") -> None:
    """Each that was planted is a trial, and has converged if it was found."""
    found = list(found)
    for what, text, number in planted:
        is_there = any(text in finding.text and number in (finding.instance, "") for finding in found)
        report.trial(f"{where}planted, and found", 0.0 if is_there else None)
        if not is_there:
            report.trouble(f"planted, and not found: {what}")


def steady(look: Callable[[], list[Finding]]) -> list[Finding]:
    """What is found in the end: a process that ends, or a state that is read, takes a moment."""
    found: list[Finding] = []

    def nothing() -> bool:
        found[:] = look()
        return not found

    try:
        wait_for("nothing to be found", nothing, SETTLING_SECONDS, every=0.5)
    except AssertionError:
        return found
    return []


def scan(data_dir: Path) -> list[Finding]:
    return steady(lambda: _scan(data_dir))


def _scan(data_dir: Path) -> list[Finding]:
    from instances.models import Instance

    layout = EmbeddedLayout(data_dir)
    present = {
        row.pk: row
        for row in Instance.objects.filter(removed_at=None, installed_at__isnull=False).select_related(
            "version", "host"
        )
    }
    found = [
        *disagreements(),
        *_directories(layout, present),
        *_services(layout, present),
        *_processes(layout, present),
        *archives(),
        *_versions(layout),
    ]
    from instances.deployment import deployer_for

    found += [
        Finding(f"{orphan.kind} {orphan.name}", orphan.instance_id)
        for orphan in deployer_for("embedded").orphans(present)
    ]
    return found


def disagreements() -> Iterator[Finding]:
    """What the rows say of each other."""
    from instances.models import Backup, Instance, Operation

    for operation in Operation.objects.filter(finished_at=None).exclude(status="postponed"):
        yield Finding(f"the operation {operation} is {operation.status}", operation.instance_id or "")
    for backup in Backup.objects.filter(completed_at=None):
        yield Finding(f"the row of the backup {backup.name}, which is not complete", backup.instance_id)
    for row in Instance.objects.all():
        last = row.state_changes.order_by("pk").last()
        if last is not None and last.state != row.observed_state:
            yield Finding(f"the state {row.observed_state}, and {last.state} in its history", row.pk)
        if row.removed_at is not None and row.port is not None:
            yield Finding(f"the port {row.port} of a removed instance", row.pk)


def _directories(layout: EmbeddedLayout, present: dict[str, Instance]) -> Iterator[Finding]:
    root = layout.data_dir / "instances"
    names = {path.name for path in root.iterdir()} if root.exists() else set()
    for name in sorted(names ^ set(present)):
        yield Finding(f"the directory {name}" if name in names else "no directory", id_in(name))
    for name in names & set(present):
        tokens = set()
        for path in (root / name).rglob("*"):
            relative = str(path.relative_to(root / name))
            if path.is_dir() and not path.is_symlink():
                if PASSING.search(f"/{relative}"):
                    yield Finding(f"the directory {relative}", name)
                continue
            match = OF_AN_INSTANCE.fullmatch(relative)
            if match is None:
                yield Finding(f"the file {relative}", name)
            elif match["token"]:
                tokens.add(match["token"])
        if len(tokens) > 1:
            yield Finding(f"{len(tokens)} copies of data from before updates", name)
        release = (root / name / "release").read_text().strip()
        if release != present[name].version.name:
            yield Finding(f"data of {release} in an instance of {present[name].version}", name)


def _services(layout: EmbeddedLayout, present: dict[str, Instance]) -> Iterator[Finding]:
    files = {path.name.removesuffix(".conf") for path in layout.supervisor_instances.iterdir()}
    with Rpc(layout.supervisor_socket, 30) as rpc:
        answer: Any = rpc.call("getAllProcessInfo")
    running = {match[0]: process["statename"] for process in answer if (match := ID.search(process["name"]))}
    for name in sorted(files ^ set(present)):
        yield Finding(f"the service file {name}" if name in files else "no service file", id_in(name))
    for name in sorted(set(running) ^ set(present)):
        yield Finding(f"the service {name}" if name in running else "no service", name)
    for name in set(running) & set(present):
        wanted = ("RUNNING",) if present[name].desired_state == "active" else ("STOPPED", "EXITED")
        if running[name] not in wanted:
            yield Finding(f"a service that is {running[name]} and shall be {present[name].desired_state}", name)


def _processes(layout: EmbeddedLayout, present: dict[str, Instance]) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for pid in processes_of(layout.data_dir / "instances"):
        for name in _instances_of(pid, layout.data_dir / "instances"):
            counts[name] = counts.get(name, 0) + 1
    for name, row in present.items():
        wanted = 1 if row.desired_state == "active" else 0
        if counts.pop(name, 0) != wanted:
            yield Finding(f"not {wanted} but another number of processes", name)
        if wanted and (row.port is None or not listens(row.port)):
            yield Finding(f"nothing that listens on port {row.port}", name)
    for name, number in counts.items():
        yield Finding(f"{number} processes", name)


def _instances_of(pid: int, directory: Path) -> set[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {found.decode() for found in re.findall(re.escape(f"{directory}/").encode() + rb"([0-9a-f]{32})", text)}


def archives() -> Iterator[Finding]:
    """Every archive has its row, every complete row its archive, and that has the checksum of the row."""
    from django.conf import settings

    from instances.archives import store
    from instances.models import Backup

    rows = {backup.name: backup for backup in Backup.objects.complete()}
    names = set(store().names())
    for name in sorted(names ^ set(rows)):
        yield Finding(f"the archive {name}" if name in names else f"no archive {name}", name.partition("/")[0])
    for name in names & set(rows):
        path = Path(settings.BACKUP_DIR) / name
        if not path.is_file():
            # What the store knows of it is there.
            yield Finding(f"no archive {name}", rows[name].instance_id)
            continue
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != rows[name].sha256:
                yield Finding(f"the archive {name} is not what its row says", rows[name].instance_id)
    if Path(settings.BACKUP_DIR).exists():
        for path in Path(settings.BACKUP_DIR).rglob("*"):
            if PASSING.search(str(path)):
                yield Finding(f"the file {path.name}", path.parent.name)


def _versions(layout: EmbeddedLayout) -> Iterator[Finding]:
    from instances.models import Version

    prepared = {row.spec().directory_name for row in Version.objects.filter(preparation="prepared")}
    names = {path.name for path in (layout.data_dir / "versions").iterdir()}
    for name in sorted(names ^ prepared):
        yield Finding(f"the version {name}" if name in names else f"no version {name}")
    for name in names & prepared:
        for path in (layout.data_dir / "versions" / name).iterdir():
            if path.name not in ("venv", "static", "template.sqlite", "prepared.json", "bytecode"):
                yield Finding(f"{path.name} in the version {name}")


def id_in(name: str) -> str:
    match = ID.search(name)
    return match[0] if match else ""
