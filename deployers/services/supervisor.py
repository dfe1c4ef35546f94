"""Service manager ``supervisor``: one program of supervisord per instance, never touching another's."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from xmlrpc.client import Fault

from deployers import interruption
from deployers.errors import ServiceManagerUnreachable, ServiceRefused
from deployers.files import tail, write_private
from deployers.layout import EmbeddedLayout
from deployers.services import supervisor_rpc as rpc
from deployers.services.service import Service
from deployers.services.supervisor_conf import (
    PREFIX,
    STOP_SECONDS,
    Program,
    forget_lost_services,
    render_service,
    render_supervisord_conf,
    write_supervisord_conf,
)
from deployers.services.supervisor_rpc import Rpc, SupervisorAbsent
from deployers.states import UnitState

__all__ = ["Program", "Supervisor", "render_supervisord_conf", "write_supervisord_conf"]

ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.02

STATES: Mapping[str, UnitState] = {
    "STOPPED": UnitState.STOPPED,
    "STARTING": UnitState.STARTING,
    "RUNNING": UnitState.RUNNING,
    "STOPPING": UnitState.STOPPING,
    "BACKOFF": UnitState.FAILED,
    "EXITED": UnitState.FAILED,
    "FATAL": UnitState.FAILED,
    "UNKNOWN": UnitState.FAILED,
}
"""supervisord.org/subprocess.html, "Process States"."""


class Supervisor:
    """See the module. Holds no connection, so it may be used by several threads."""

    sleeps = False

    def __init__(self, layout: EmbeddedLayout) -> None:
        self.layout = layout

    def register(self, service: Service) -> None:
        name = PREFIX + service.instance_id
        conf = self.layout.supervisor_instances / f"{service.instance_id}.conf"
        text = render_service(service)
        if not conf.is_file() or conf.read_text(encoding="utf-8") != text:
            write_private(conf, text)
        with self._rpc() as supervisord:
            # Asked every time, because an earlier run may have died between writing the file and this.
            added, changed = self._reread(supervisord, name)
            if changed:
                self._stop(supervisord, name)
                _ignoring(supervisord, "removeProcessGroup", name, faults=(rpc.BAD_NAME,))
            if added or changed:
                _ignoring(supervisord, "addProcessGroup", name, faults=(rpc.ALREADY_ADDED,))

    def start(self, instance_id: str) -> None:
        name = PREFIX + instance_id
        with self._rpc() as supervisord:
            self._wait_while_stopping(supervisord, name)
            # ABNORMAL_TERMINATION: it died at once. That is has_given_up()'s business: supervisord tries again.
            _ignoring(supervisord, "startProcess", name, False, faults=(rpc.ALREADY_STARTED, rpc.ABNORMAL_TERMINATION))

    def stop(self, instance_id: str) -> None:
        with self._rpc() as supervisord:
            self._stop(supervisord, PREFIX + instance_id)

    def remove(self, instance_id: str) -> None:
        name = PREFIX + instance_id
        try:
            with self._rpc() as supervisord:
                self._stop(supervisord, name)
                _ignoring(supervisord, "removeProcessGroup", name, faults=(rpc.BAD_NAME,))
        except SupervisorAbsent:
            pass  # what it ran died with it, and it will not find the file
        (self.layout.supervisor_instances / f"{instance_id}.conf").unlink(missing_ok=True)

    def has_given_up(self, instance_id: str) -> bool:
        with self._rpc() as supervisord:
            # STOPPED or not known: stopped by somebody, or supervisord was started anew meanwhile.
            return _state_name(supervisord, PREFIX + instance_id) in ("FATAL", "STOPPED", None)

    def log_tail(self, instance_id: str) -> str:
        return tail(self.layout.instance(instance_id).log)

    def state(self, instance_id: str) -> UnitState:
        with self._rpc() as supervisord:
            return STATES.get(_state_name(supervisord, PREFIX + instance_id) or "STOPPED", UnitState.FAILED)

    def registered(self) -> Collection[str]:
        """Files, which supervisord reads when it starts, and what it runs although the file is gone."""
        found = {conf.stem for conf in self.layout.supervisor_instances.glob("*.conf")}
        try:
            return found | set(self.states())
        except SupervisorAbsent:
            return found  # it runs nothing

    def states(self) -> dict[str, UnitState]:
        with self._rpc() as supervisord:
            processes = supervisord.call("getAllProcessInfo")
        assert isinstance(processes, Sequence)
        return {
            process["name"].removeprefix(PREFIX): STATES.get(process["statename"], UnitState.FAILED)
            for process in processes
            if process["name"].startswith(PREFIX)
        }

    def _rpc(self) -> Rpc:
        return Rpc(self.layout.supervisor_socket, STOP_SECONDS + ANSWER_SECONDS)

    def _reread(self, supervisord: Rpc, name: str) -> tuple[bool, bool]:
        """Whether ``name`` is new to supervisord, and whether it is known with another configuration."""
        try:
            answer = supervisord.call("reloadConfig")
        except Fault as fault:
            if fault.faultCode != rpc.CANT_REREAD:
                raise ServiceRefused(name, fault.faultString) from fault
            # One instance whose directory was taken away by hand must not keep all others from starting.
            forget_lost_services(self.layout)
            answer = _ignoring(supervisord, "reloadConfig", faults=())
        assert isinstance(answer, list)
        added, changed, _removed = answer[0]
        return name in added, name in changed

    def _stop(self, supervisord: Rpc, name: str) -> None:
        _ignoring(supervisord, "stopProcess", name, faults=(rpc.NOT_RUNNING, rpc.BAD_NAME))
        self._wait_while_stopping(supervisord, name)
        if _state_name(supervisord, name) in ("FATAL", "EXITED", "UNKNOWN"):
            # It did not run, and must not be reported as broken now that nobody wants it to run.
            _ignoring(supervisord, "removeProcessGroup", name, faults=(rpc.BAD_NAME,))
            _ignoring(supervisord, "addProcessGroup", name, faults=(rpc.ALREADY_ADDED, rpc.BAD_NAME))

    def _wait_while_stopping(self, supervisord: Rpc, name: str) -> None:
        """A process that somebody else is stopping answers neither to stop nor to start. Raises ServiceRefused."""
        until = time.monotonic() + STOP_SECONDS + ANSWER_SECONDS
        while _state_name(supervisord, name) == "STOPPING":
            if time.monotonic() > until:
                raise ServiceRefused(name, "its process does not end, not even by SIGKILL")
            interruption.sleep(POLL_SECONDS)

    def wait_until_answering(self, seconds: float) -> None:
        """Wait until supervisord, which was just started, takes calls. Raises ServiceManagerUnreachable."""
        until = time.monotonic() + seconds
        while True:
            try:
                with self._rpc() as supervisord:
                    supervisord.call("getState")
                return
            except ServiceManagerUnreachable:
                if time.monotonic() > until:
                    raise
                interruption.sleep(POLL_SECONDS)


def _state_name(supervisord: Rpc, name: str) -> str | None:
    """The state in supervisord's word; None if it does not know the process."""
    process = _ignoring(supervisord, "getProcessInfo", name, faults=(rpc.BAD_NAME,))
    return str(process["statename"]) if isinstance(process, dict) else None


def _ignoring(supervisord: Rpc, method: str, *arguments: str | bool, faults: tuple[int, ...]) -> object:
    """The answer, or None for one of ``faults``. Raises ServiceRefused for any other."""
    try:
        return supervisord.call(method, *arguments)
    except Fault as fault:
        if fault.faultCode in faults:
            return None
        raise ServiceRefused(str(arguments[0]) if arguments else method, fault.faultString) from fault
