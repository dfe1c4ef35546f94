"""What ``make run`` turns into: starts supervisord, says when it is ready, and stops everything on Ctrl-C.

    python -m multiinstance.foreground DATA_DIR ADDRESS

A process of its own, without Django, because supervisord stops its programs one after the other, which takes
long with many instances; here all are stopped at the same time, but for the worker, which comes first and gives
back the operation that it runs.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault

from deployers.commands import dying_with_parent
from deployers.errors import ServiceManagerUnreachable
from deployers.layout import EmbeddedLayout
from deployers.services.supervisor_rpc import Rpc

PROGRAMS = ("web", "worker", "beat")
LOOK_SECONDS = 2.0
START_SECONDS = 180.0
"""A web process that cannot start is given up long before; one on a busy machine has time."""
CALL_SECONDS = 60.0
HURRY_SECONDS = 10.0
"""supervisord answers at once, but for a busy machine; without its answer it is not known whom to end."""


class Foreground:
    """One run of the product."""

    def __init__(self, layout: EmbeddedLayout, address: str) -> None:
        self.layout = layout
        self.address = address
        self.asked_to_stop = threading.Event()
        self.asked_to_hurry = threading.Event()
        self.broken: set[str] = set()

    def run(self) -> int:
        """The exit code: 0 after Ctrl-C, 1 when the product could not be started or ended by itself."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.note_signal)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.layout.supervisor_conf)]
        # In a session of its own, so that Ctrl-C reaches this process only, which knows the order.
        with subprocess.Popen(dying_with_parent(command), start_new_session=True) as supervisord:
            if self.wait_until_ready(supervisord):
                say(f"Ready: {self.address}   (Ctrl-C stops everything)")
                self.watch(supervisord)
            if supervisord.poll() is not None:
                say(f"supervisord ended by itself, see {self.layout.log / 'supervisord.log'}")
                return 1
            if not self.asked_to_stop.is_set():
                self.stop(supervisord)
                return 1
            say("Stopping … (Ctrl-C again does not wait)")
            self.stop(supervisord)
            say("Stopped.")
            return 0

    def note_signal(self, number: int, frame: FrameType | None) -> None:
        (self.asked_to_hurry if self.asked_to_stop.is_set() else self.asked_to_stop).set()

    def wait_until_ready(self, supervisord: subprocess.Popen[bytes]) -> bool:
        """Whether the log-in page answers; False when it cannot, which is said, or when it was stopped meanwhile."""
        waited = 0.0
        while waited < START_SECONDS and supervisord.poll() is None:
            if self.answers():
                return True
            if self.asked_to_stop.wait(0.1):
                return False
            waited += 0.1
            if waited % LOOK_SECONDS < 0.1 and "web" in self.given_up():
                break
        if supervisord.poll() is None:
            say(f"The web process does not answer. Its log: {self.layout.log / 'web.log'}")
        return False

    def answers(self) -> bool:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=10)
        try:
            connection.request("GET", "/admin/login/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def watch(self, supervisord: subprocess.Popen[bytes]) -> None:
        """Until it is to be stopped, or supervisord has ended. A program that is given up is said once."""
        while not self.asked_to_stop.wait(LOOK_SECONDS) and supervisord.poll() is None:
            for name in self.given_up() - self.broken:
                self.broken.add(name)
                say(f"The {name} process keeps ending and was given up. Its log: {self.layout.log / name}.log")

    def given_up(self) -> set[str]:
        found = self.processes(CALL_SECONDS)
        return {process["name"] for process in found if process["statename"] == "FATAL"} & set(PROGRAMS)

    def processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """What supervisord says of its programs; nothing where it does not answer within so many seconds."""
        try:
            with Rpc(self.layout.supervisor_socket, seconds) as rpc:
                found = rpc.call("getAllProcessInfo")
        except ServiceManagerUnreachable:
            return ()
        assert isinstance(found, Sequence)
        return found

    def stop(self, supervisord: subprocess.Popen[bytes]) -> None:
        """Stop the worker, then all else at the same time, then supervisord."""
        stopping = threading.Thread(target=self.stop_in_order, daemon=True)
        stopping.start()
        while supervisord.poll() is None:
            if self.asked_to_hurry.wait(0.05):
                self.end_at_once(supervisord)

    def end_at_once(self, supervisord: subprocess.Popen[bytes]) -> None:
        """Wait for nobody: supervisord first, which would start the others again.

        Its programs get SIGTERM from the kernel when it dies (prctl(2), PR_SET_PDEATHSIG), and would take their time;
        each is the leader of a process group of its own.
        """
        leaders = [process["pid"] for process in self.processes(HURRY_SECONDS) if process["pid"]]
        supervisord.kill()
        supervisord.wait()
        for leader in leaders:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)

    def stop_in_order(self) -> None:
        for method, arguments in (
            ("stopProcess", ("beat", False)),
            ("stopProcess", ("worker",)),
            ("stopAllProcesses", ()),
            ("shutdown", ()),
        ):
            try:
                with Rpc(self.layout.supervisor_socket, CALL_SECONDS) as rpc:
                    rpc.call(method, *arguments)
            except Fault:
                continue  # it does not run
            except ServiceManagerUnreachable as error:
                say(str(error))
                self.asked_to_hurry.set()
                return


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(Foreground(EmbeddedLayout(Path(sys.argv[1])), sys.argv[2]).run())
