"""What the units of an instance run: ``python3 -IS in_unit.py serve|ready|proxy|stop|forget ID``, as the service user.

Nothing but the standard library, and started by its path: it must be quick, and the unit must not depend on what the
control plane's environment holds. What an instance runs is read from its service.json here, by the service user, and
not with EnvironmentFile= in the unit: systemd would read it as root, also where it is a link to another's secrets.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INSTANCES = Path("/srv/openslides/instances")
PROXY = "/lib/systemd/systemd-socket-proxyd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONNECTIONS = 8192
"""At most, to one instance at a time: its proxy's unit has descriptors for these."""
OF_THE_UNIT = ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")
"""What the engine gets from the unit, also where service.json was written before there was such a thing."""
IN_NAMESPACE = ("/usr/bin/unshare", "--map-root-user", "--map-auto", "--")
"""unshare(1): a command as the one who may do everything with what our subordinate users (subuid(5)) have made."""
POLL_SECONDS = 0.02
LAST_POLL_SECONDS = 0.2
TIDY_SECONDS = 10.0
"""With the seconds that the engine gives OpenSlides to end, less than the unit's TimeoutStopSec=."""


def main(action: str, instance_id: str) -> int:
    if not re.fullmatch(r"[0-9a-f]{32}", instance_id):
        print(f"{instance_id!r} is not an instance's id", file=sys.stderr)
        return 2
    try:
        service = json.loads((INSTANCES / instance_id / "service.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"service.json cannot be read: {error}. Start the instance in the admin.", file=sys.stderr)
        return 1
    actions = {"serve": serve, "ready": ready, "proxy": proxy, "stop": stop, "forget": forget}
    return actions[action](service)


def serve(service: dict[str, Any]) -> int:
    """Become the engine's command, with the directory of OpenSlides' socket there (after a reboot it is not) and empty.

    daphne does not listen where an earlier one, which was killed, left its socket.
    """
    directory = Path(service["socket"]).parent
    directory.mkdir(mode=0o711, exist_ok=True)
    clear(directory)
    if service["user"] is not None:
        subprocess.run(["/usr/bin/setfacl", "-m", f"u:{service['user']}:rwx", "--", str(directory)], check=True)
    environment = environment_of(service)
    if "NOTIFY_SOCKET" in os.environ:
        environment["NOTIFY_SOCKET"] = os.environ["NOTIFY_SOCKET"]
    os.execvpe(service["argv"][0], service["argv"], environment)


def clear(directory: Path) -> None:
    """Whatever the instance made in there, also directories that are closed to us."""
    left = list(directory.iterdir())
    try:
        for path in left:
            path.unlink()
    except OSError:
        subprocess.run([*IN_NAMESPACE, "rm", "-rf", "--", *map(str, left)], check=True)


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    given = {name: os.environ[name] for name in OF_THE_UNIT if name in os.environ}
    return {"PATH": PATH, **given, **service["environment"]}


def ready(service: dict[str, Any]) -> int:
    """Wait until OpenSlides answers; 1 when the unit's main process is gone. systemd ends the wait at its time-out.

    systemd.service(5): ``ExecStartPost=`` is given MAINPID.
    """
    main_pid = os.environ.get("MAINPID", "")
    began = time.monotonic()
    while not answers(service["socket"], service["ready"]):
        if main_pid and not Path("/proc", main_pid).exists():
            print("OpenSlides ended before it answered; its last words are above.", file=sys.stderr)
            return 1
        elapsed = time.monotonic() - began
        time.sleep(min(LAST_POLL_SECONDS, max(POLL_SECONDS, elapsed / 20)))
    return 0


def answers(path: str, url: str) -> bool:
    """Whether OpenSlides tells its version. The status alone says nothing: an unknown path is answered with 200."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(10)
        connection.sock.connect(path)
        connection.request("GET", url)
        return "openslides_version" in json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def proxy(service: dict[str, Any]) -> int:
    """Become systemd-socket-proxyd(8), which takes the socket over and ends after the instance's idle time."""
    idle = float(service["idle_seconds"])
    argv = [PROXY, f"--exit-idle-time={idle:g}s", f"--connections-max={CONNECTIONS}", service["socket"]]
    os.execv(PROXY, argv)


def stop(service: dict[str, Any]) -> int:
    """End what ``serve`` started; the engine's command for that, if it has one.

    Then wait for the unit's main process: conmon(8) takes its container away before it ends, by a podman that systemd
    would kill in the middle of that as soon as this here has ended.
    """
    code = _run(service, "stop")
    main_pid = os.environ.get("MAINPID", "")
    deadline = time.monotonic() + TIDY_SECONDS
    while main_pid and Path("/proc", main_pid).exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return code


def forget(service: dict[str, Any]) -> int:
    """Take away what a container leaves that was killed; the engine's command for that, if it has one."""
    return _run(service, "cleanup")


def _run(service: dict[str, Any], name: str) -> int:
    command = service.get(name)
    if not command:
        return 0
    return subprocess.run(command, env=environment_of(service), stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
