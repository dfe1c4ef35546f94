"""What is on a production host against what the rows say: every unit, container, database, role, file and Redis user.

One listing per part of the host. Whatever has an instance's id in its name must be one of the things that an instance
in its state has, and all of those must be there.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.fleet import Finding
from tests.chaos.scan import ID, archives, disagreements, steady

if TYPE_CHECKING:
    from redis import Redis

    from instances.models import Instance

ROOTS = ("/srv/openslides/instances", "/srv/openslides/by-name", "/srv/openslides/static", "/run/openslides",
         "/etc/nginx", "/etc/systemd/system", "/run/systemd/system")  # fmt: skip
ALWAYS = {"database openslides_ID", "role openslides_ID", "file /srv/openslides/instances/ID"}
IN_REDIS = "Redis user openslides-ID"
"""Of those with several server processes, active or not; their keys stay as long as the account."""
KEYS = "key openslides-ID:"
WHILE_ACTIVE = {
    "container openslides-ID",
    "unit openslides_instance@ID.service",
    "unit openslides_instance_proxy@ID.socket",
    # Nobody visits them: they are kept awake.
    "unit openslides_instance_awake@ID.target",
    "file /run/openslides/sockets/ID.sock",
    "file /run/openslides/web/ID",
}
MAY_BE = {"file /srv/openslides/instances/ID/public/sock", "file /run/openslides/web/ID"}
"""A link that leads to the socket, and a directory that a reboot takes away."""
MAY_BE_WHILE_ACTIVE = {"unit openslides_instance_proxy@ID.service"}
PROCESS = "process "
ID_ALONE = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
"""What podman names its containers by is twice as long, and no instance's."""
KEPT = re.compile(r"database openslides_ID_kept_[0-9a-f]{8}")
"""The data from before the last update."""
OF_AN_INSTANCE = re.compile(
    r"settings\.py|service\.json|release|restored|log/instance\.log|data/media(/.*)?"
    r"|public/(static(/.*)?|stopped|media|version|sock|tls|v[0-9]|pages/(inactive|starting|updating)\.(de|en)\.html)"
    r"|previous/(?P<token>[0-9]+)/(settings\.py|service\.json|kept\.json|switched|healthy|media(/.*)?)"
)


def scan() -> list[Finding]:
    return steady(_scan)


def _scan() -> list[Finding]:
    from instances.deployment import deployer_for
    from instances.models import Instance

    rows = Instance.objects.filter(removed_at=None, installed_at__isnull=False).select_related("version", "host")
    present = {row.pk: row for row in rows}
    seen = _seen()
    found = [*disagreements(), *archives()]
    for number in seen.keys() - present.keys():
        found += [Finding(text, number) for text in sorted(seen[number])]
    for number, row in present.items():
        found += _of_one(row, seen.get(number, set()))
    orphans = deployer_for("systemd").orphans(present)
    return found + [Finding(f"{orphan.kind} {orphan.name}", orphan.instance_id) for orphan in orphans]


def _of_one(row: Instance, seen: set[str]) -> Iterator[Finding]:
    active = row.desired_state == "active"
    name = {f"link /srv/openslides/by-name/{row.domain_id}/{row.slug} to ID"}
    needed = ALWAYS | name | (WHILE_ACTIVE if active else set()) | ({IN_REDIS} if row.workers > 1 else set())
    allowed = needed | MAY_BE | (MAY_BE_WHILE_ACTIVE if active else set())
    allowed |= {text for text in seen if text.startswith(PROCESS) and active}
    allowed |= {text for text in seen if text.startswith(KEYS) and row.workers > 1}
    if active and not any(text.startswith(PROCESS) for text in seen):
        yield Finding("no process", row.pk)
    for text in sorted(needed - seen):
        yield Finding(f"no {text}", row.pk)
    kept = {text for text in seen if KEPT.fullmatch(text)}
    for text in sorted(seen - allowed - kept):
        yield Finding(text, row.pk)
    directory, tokens = Path("/srv/openslides/instances") / row.pk, set[str]()
    for path in directory.rglob("*"):
        relative = str(path.relative_to(directory))
        if path.is_dir() and not path.is_symlink():
            continue
        match = OF_AN_INSTANCE.fullmatch(relative)
        if match is None:
            yield Finding(f"the file {relative}", row.pk)
        elif match["token"]:
            tokens.add(match["token"])
    if len(tokens) > 1 or len(kept) > 1:
        yield Finding(f"{len(tokens)} directories and {len(kept)} databases from before updates", row.pk)
    release = directory / "release"
    if not release.exists() or release.read_text().strip() != row.version.name:
        yield Finding(f"data of another release than {row.version}", row.pk)


def _seen() -> dict[str, set[str]]:
    """By instance, with ID in its place: everything that has its id in its name."""
    seen: dict[str, set[str]] = defaultdict(set)
    for text in (*_units(), *_containers(), *_processes(), *_databases(), *_redis(), *_files()):
        if match := ID.search(text):
            seen[match[0]].add(text.replace(match[0], "ID"))
    return seen


def _units() -> Iterator[str]:
    command = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "openslides_instance*"]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        unit, _loaded, state, _sub = line.split(maxsplit=4)[:4]
        # One that failed says so in its row's state, and its name stays until the next start.
        if state in ("active", "activating", "deactivating", "failed", "reloading"):
            yield f"unit {unit}"


def podman(*arguments: str) -> str:
    from django.conf import settings

    from deployers.engines.podman import PodmanSettings

    own = PodmanSettings(Path(settings.PODMAN_HOME), Path(settings.PODMAN_RUNTIME))
    environment = {**own.environment, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    command = ["podman", "--cgroup-manager=cgroupfs", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd="/").stdout


def _containers() -> Iterator[str]:
    return (f"container {name}" for name in podman("ps", "--all", "--format", "{{.Names}}").split())


def _processes() -> Iterator[str]:
    """By their command lines: OpenSlides itself, what watches its container, and what was begun for it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        program = Path(command.partition("\0")[0]).name
        yield from (f"{PROCESS}{program} of {number}" for number in set(ID_ALONE.findall(command)))


def _databases() -> Iterator[str]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT 'database ' || datname FROM pg_database UNION SELECT 'role ' || rolname FROM pg_roles")
        return iter([text for (text,) in cursor.fetchall()])


def redis_client() -> Redis:
    """As the control plane reaches it."""
    import redis
    from django.conf import settings

    return redis.Redis.from_url(settings.INSTANCE_REDIS_URL.replace("redis+socket://", "unix://"))


def _redis() -> Iterator[str]:
    with redis_client() as client:
        yield from (f"Redis user {name}" for name in client.acl_users())
        # What the broker keeps of messages is named otherwise.
        yield from (f"key {name.decode()}" for name in client.scan_iter("openslides-*"))


def _files() -> Iterator[str]:
    """Names and what links lead to; what must not be seen is not."""
    roots = [root for root in ROOTS if Path(root).exists()]
    command = ["find", *roots, "(", "-path", "*/data/media", "-o", "-path", "/run/openslides/podman", ")", "-prune",
               "-o", "-printf", "%p\\t%l\\n"]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        path, _, target = line.partition("\t")
        if ID.search(Path(path).name):
            yield f"file {path}"
        elif match := ID.search(target):
            # By the instance's address: its id is in what the link leads to only.
            yield f"file {path}" if ID.search(path) else f"link {path} to {match[0]}"
