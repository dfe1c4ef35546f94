"""Service manager ``systemd``: units of one template per instance, asleep until somebody comes.

What an instance is made of, ``FAMILY`` being ``openslides_instance`` (podman) or ``openslides_rkt``:

    FAMILY_proxy@ID.socket     listens; all that a sleeping instance costs
    FAMILY_proxy@ID.service    started by the first connection; ends after the idle time
    FAMILY@ID.service          the instance, up when OpenSlides answers; stopped when nothing needs it
    FAMILY_awake@ID.target     while it is up, the instance is: for one that is always on

The templates are installed at set-up. What differs between instances stands in service.json (see ``in_unit.py``), so
nothing here needs root, and an instance more makes no daemon-reload.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deployers.commands import run
from deployers.errors import CommandFailed, InstanceMissing, ServiceFailed
from deployers.files import erase, tail, write_private
from deployers.layout import SystemdLayout, checked_id
from deployers.services.service import Service
from deployers.services.systemd_bus import Unit, units_like, units_named
from deployers.states import UnitState

FAMILIES: Mapping[str, str] = {"podman": "openslides_instance", "rkt": "openslides_rkt"}
"""By engine: the first part of the units' names."""

UNIT = re.compile(r"(openslides_(?:instance|rkt))(_proxy|_awake)?@([0-9a-f]{32})\.(service|socket|target)")
PATTERNS = ("openslides_instance*@*", "openslides_rkt*@*")
JOB_SECONDS = 150.0
"""Longer than an instance's own time-out for a start, and a stop, so that systemd is the one that tells why."""
CONMON = re.compile(r"^\S+ (?:stdout|stderr) [FP] ", re.MULTILINE)


class Systemd:
    """See the module. ``engines``: those whose units are installed. ``user``: the uid that instances run as."""

    sleeps = True

    def __init__(self, layout: SystemdLayout, engines: Sequence[str], user: int, bus: str = "SYSTEM") -> None:
        self.layout = layout
        self.families = tuple(FAMILIES[engine] for engine in engines)
        self.user = user
        self.bus = bus

    def register(self, service: Service) -> None:
        """No reason to stop one that runs, and to cut off an assembly: how long it may idle, and that its version was
        prepared again meanwhile, or the host runs containers otherwise by now."""
        file = self._file(service.instance_id)
        wanted = self._content(service)
        found = _content_of(file)
        if found == wanted:
            return
        if found is None or found.get("asked") != wanted["asked"]:
            self.stop(service.instance_id)
        write_private(file, json.dumps(wanted, indent=2) + "\n")

    def start(self, instance_id: str) -> None:
        """Its socket; and the instance itself where it is always on."""
        service = _content_of(self._file(instance_id))
        if service is None:
            raise InstanceMissing(instance_id, "service.json")
        family = FAMILIES[service["engine"]]
        socket, awake = f"{family}_proxy@{instance_id}.socket", f"{family}_awake@{instance_id}.target"
        self._reset_failed(instance_id)
        if service["always_on"]:
            self._systemctl("start", [socket, awake])
        else:
            self._systemctl("start", [socket])
            if any(unit.name == awake and unit.active == "active" for unit in self._units(instance_id)):
                self._systemctl("stop", [awake])

    def stop(self, instance_id: str) -> None:
        names = [unit.name for unit in self._units(instance_id) if unit.active not in ("inactive", "failed")]
        if names:
            # In one call: while the socket listened, a request would start what is being stopped.
            self._systemctl("stop", names)
        self._reset_failed(instance_id)

    def remove(self, instance_id: str) -> None:
        self.stop(instance_id)
        self._file(instance_id).unlink(missing_ok=True)
        erase(self.layout.web(instance_id))

    def has_given_up(self, instance_id: str) -> bool:
        return self.state(instance_id) in (UnitState.FAILED, UnitState.STOPPED)

    def log_tail(self, instance_id: str) -> str:
        """Without the time and the stream that conmon(8) writes before each line."""
        printed = CONMON.sub("", tail(self.layout.instance(instance_id).log))
        return printed or f"(nothing; what came before it: journalctl -u {self.families[0]}@{instance_id})"

    def state(self, instance_id: str) -> UnitState:
        return states_of(self._units(instance_id)).get(instance_id, UnitState.STOPPED)

    def registered(self) -> Collection[str]:
        """Units that do something, or have failed, and what a container that was killed left in /run.

        A service's file lies in the instance's own directory.
        """
        units = [unit for unit in units_like(PATTERNS, self.bus) if unit.active != "inactive"]
        left = directories_of_instances(self.layout.runtime / "web")
        return {match[3] for unit in units if (match := UNIT.fullmatch(unit.name)) is not None} | left

    def states(self) -> dict[str, UnitState]:
        return states_of(units_like(PATTERNS, self.bus))

    def _units(self, instance_id: str) -> list[Unit]:
        return units_named([name for family in self.families for name in unit_names(family, instance_id)], self.bus)

    def _file(self, instance_id: str) -> Path:
        return self.layout.instance(instance_id).directory / "service.json"

    def _content(self, service: Service) -> dict[str, Any]:
        """What service.json says, see ``in_unit.py``."""
        return {
            "engine": service.engine,
            "argv": list(service.argv),
            "environment": dict(service.env),
            "stop": list(service.stop),
            "cleanup": list(service.cleanup),
            "socket": str(self.layout.web_socket(service.instance_id)),
            "user": self.user,
            "ready": service.version_path,
            "idle_seconds": service.idle_seconds,
            "always_on": service.always_on,
            "asked": list(service.asked),
        }

    def _reset_failed(self, instance_id: str) -> None:
        failed = [unit.name for unit in self._units(instance_id) if unit.active == "failed"]
        if failed:
            self._systemctl("reset-failed", failed)

    def _systemctl(self, verb: str, names: Sequence[str]) -> None:
        """Raises ServiceFailed."""
        try:
            run(["systemctl", "--no-ask-password", verb, "--", *names], log=_unheard, timeout=JOB_SECONDS)
        except CommandFailed as error:
            raise ServiceFailed(names[0], error.tail) from error


def _content_of(file: Path) -> dict[str, Any] | None:
    """None: there is none, or it is damaged."""
    try:
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read


def directories_of_instances(web: Path) -> set[str]:
    """The names in /run/openslides/web but for those of tasks of rkt, which may be gone any moment (``rkt_unit.py``).

    They are told by their mode: an instance's directory is open to it, and it can make in there what a task has.
    """
    found = set()
    for path in web.iterdir() if web.is_dir() else ():
        with suppress(FileNotFoundError):
            if stat.S_IMODE(path.lstat().st_mode) & 0o077:
                found.add(path.name)
    return found


def unit_names(family: str, instance_id: str) -> tuple[str, ...]:
    """All units of one instance. Raises ValueError."""
    name = checked_id(instance_id)
    return (
        f"{family}_proxy@{name}.socket",
        f"{family}_awake@{name}.target",
        f"{family}_proxy@{name}.service",
        f"{family}@{name}.service",
    )


def states_of(units: Iterable[Unit]) -> dict[str, UnitState]:
    """One state for each instance, out of its units."""
    found: dict[str, dict[str, Unit]] = {}
    for unit in units:
        match = UNIT.fullmatch(unit.name)
        if match is None:
            continue
        role = {"": "instance", "_proxy": f"proxy.{match[4]}", "_awake": "awake"}[match[2] or ""]
        mine = found.setdefault(match[3], {})
        # Units of another engine, from before an update, may still be loaded: the ones that do something count.
        if role not in mine or unit.active != "inactive":
            mine[role] = unit
    return {instance_id: state_of(mine) for instance_id, mine in found.items()}


def state_of(units: Mapping[str, Unit]) -> UnitState:
    """The state of one instance, from its units by role: instance, proxy.socket, proxy.service, awake.

    A failure counts until the next start takes it away, also while the socket listens. Going to sleep is asleep.
    """
    active = {role: unit.active for role, unit in units.items()}
    instance, listening = active.get("instance", "inactive"), active.get("proxy.socket", "inactive")
    if "failed" in (instance, listening):
        return UnitState.FAILED
    if instance in ("active", "reloading"):
        return UnitState.RUNNING
    if instance == "activating":
        return UnitState.STARTING
    if listening == "active":
        waking = "active" in (active.get("proxy.service"), active.get("awake"))
        return UnitState.STARTING if waking and instance == "inactive" else UnitState.LISTENING
    if instance == "deactivating" or listening == "deactivating":
        return UnitState.STOPPING
    return UnitState.STOPPED


def _unheard(text: str) -> None:
    """A :data:`deployers.plan.Log` for what is of no interest."""
