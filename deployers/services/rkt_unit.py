"""What the units of the engine rkt run: ``python3 -IS rkt_unit.py place|run|task ID``, as root.

    place ID   the directory of an instance's socket, empty; with the rights of whose that is
    run ID     become rkt, with the instance's pod; service.json says what it runs
    task ID    one thing to do for the control plane: a management command in a pod, a fetch, a look at rkt's lists

Root takes nothing from the service user that ``deployers/engines/rkt_pod.py`` has not checked. All uses of rkt's store
are here, because a member of the group rkt could become root: he can go into running pods and start a setuid file of an
image there, and he can replace the images that root will run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

if __name__ == "__main__":
    # python -I trusts no path but its own installation's; this program's package lies three directories up.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deployers.engines.rkt_files import (
    acting_as,
    become,
    check_place,
    open_without_links,
    own_stage1_images,
    read_host,
    read_json,
    remove_directory,
)
from deployers.engines.rkt_pod import (
    ID,
    STAGE1,
    Host,
    Pod,
    Refused,
    image_hash,
    instance_pod,
    mount_points,
    rkt_fetch,
    rkt_run,
    task_pod,
)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLL_SECONDS = 0.1
LOG_BYTES = 5_000_000
LINE_BYTES = 65536
LOOK_SECONDS = 60.0
STOP_SECONDS = 10.0
"""Shorter than the unit's TimeoutStopSec=, after which systemd kills this program too."""
REFUSED = 126
"""The exit code of a task that was not done; a shell's for what it may not run."""
LINE_OF_APP = re.compile(rb"^\[ *[0-9.]+\] [a-z0-9-]+\[[0-9]+\]: ")
"""What stage1 "host" writes before each line of the app, on rkt's own output."""
FAILURES = (Refused, OSError, ValueError, KeyError, subprocess.SubprocessError)
LISTS = {"images": ("image", "list", "--format=json"), "pods": ("list", "--format=json")}
stopping = threading.Event()
"""systemd wants the task to end."""


def main(action: str, name: str) -> int:
    try:
        if not ID.fullmatch(name):
            raise Refused(f"{name!r} is not the id of an instance or a task (32 hexadecimal digits)")
        host = read_host()
        if action == "place":
            place(host, name)
        elif action == "run":
            run(host, name)
        else:
            task(host, name)
    except FAILURES as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def place(host: Host, instance_id: str) -> None:
    """After a reboot the directory is gone, and daphne does not listen where one that was killed left its socket.

    What the instance left goes with the instance's own rights first: it may have closed it to the service user.
    """
    directory = host.web / instance_id
    with acting_as(host):
        directory.mkdir(mode=0o711, exist_ok=True)
    instance = replace(host, service_uid=host.instance_uid, service_gid=host.instance_uid)
    with acting_as(instance), contextlib.suppress(PermissionError):
        _empty(directory)
    with acting_as(host):
        _empty(directory)
        subprocess.run(["/usr/bin/setfacl", "-m", f"u:{host.instance_uid}:rwx", "--", str(directory)], check=True)


def _empty(directory: Path) -> None:
    for left in directory.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def run(host: Host, instance_id: str) -> None:
    """Does not return if all is well: rkt becomes the unit's main process, and then nspawn."""
    directory = host.data / "instances" / instance_id
    journal = os.dup(2)
    writer = keep_log(host, directory / "log" / "instance.log")
    try:
        pod = instance_pod(host, instance_id, read_json(host, directory / "service.json"))
        argv = pod_command(host, instance_id, pod)
        notify = {name: os.environ[name] for name in ("NOTIFY_SOCKET",) if name in os.environ}
        os.execvpe(argv[0], argv, {**environment(), **notify})  # noqa: S606
    except FAILURES as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        _print_to(journal)
        # In its unit's cgroup, the writer would otherwise be something to be killed.
        os.waitpid(writer, 0)
        raise


def pod_command(host: Host, name: str, pod: Pod) -> list[str]:
    """Raises Refused: the image is not in rkt's store, or asks for too much; a place is not the service user's."""
    done = look(("image", "cat-manifest", pod.image))
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Refused(f"rkt has no image {pod.image} ({said}). Prepare the version again.")
    for path in (*pod.reads, *pod.writes):
        check_place(host, path)
    sockets = [path for path in host.sockets if path.exists()]
    return rkt_run(host, pod, host.uuid_file(name), sockets, mount_points(done.stdout.decode()))


def keep_log(host: Host, file: Path) -> int:
    """From now on, what this process and its successor print goes to the instance's log. Gives who writes it.

    It is written by a process of the service user's, who reads it: he may not read the system's journal. The log before
    is kept once, as ``instance.log.1``.
    """
    reading, writing = os.pipe()
    writer = os.fork()
    if writer == 0:
        try:
            os.close(writing)
            become(host)
            os.umask(0o077)
            _write_log(reading, file)
        finally:
            os._exit(0)
    os.close(reading)
    _print_to(writing)
    return writer


def _print_to(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _write_log(reading: int, file: Path) -> None:
    """What cannot be written is lost, for instance where the disk is full: who prints to a closed pipe is killed."""
    log: BinaryIO | None = None
    with open(reading, "rb") as lines:
        while line := lines.readline(LINE_BYTES):
            try:
                log = log or open(file, "ab", buffering=0)  # noqa: SIM115
                log.write(stripped(line))
                if log.tell() > LOG_BYTES:
                    log.close()
                    log = None
                    file.replace(file.with_name(f"{file.name}.1"))
            except OSError:
                log = None


def task(host: Host, task_id: str) -> None:
    """The task's directory, and all that is in it, is the service user's:

    task.json   what to do           output   what it printed
    alive       locked by who waits  result   the exit code, when it has ended

    When nobody waits any more, this ends; and also when the unit is stopped. The pod ends first: systemd runs rkt rm as
    soon as this program is gone, and rkt removes no pod that runs.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    directory = host.web / task_id
    with acting_as(host):
        alive = open_without_links(directory / "alive", os.O_RDONLY | os.O_NONBLOCK)
        output = os.open(directory / "output", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    code: int | None
    try:
        code = perform(host, task_id, read_json(host, directory / "task.json"), output, alive)
    except FAILURES as error:
        os.write(output, f"{error}\n".encode())
        code = REFUSED
    if code is None:
        remove_directory(host, directory)
        return
    with acting_as(host):
        new = directory / "result.new"
        with open(new, "x", encoding="utf-8") as stream:
            stream.write(str(code))
        new.rename(directory / "result")


def perform(host: Host, task_id: str, wanted: Mapping[str, Any], output: int, alive: int) -> int | None:
    """The exit code; None: nobody waits any more, or the unit is stopped."""
    kind = wanted.get("kind")
    if kind == "run":
        return _watch(pod_command(host, task_id, task_pod(host, task_id, wanted)), output, alive)
    if kind == "fetch":
        return fetch(host, rkt_fetch(wanted.get("image")), output, alive)
    if kind == "discard":
        # What was unpacked of it is left to openslides_rkt_gc.timer: rkt image gc takes also what was unpacked for
        # instances that sleep.
        return _watch(["rkt", "image", "rm", image_hash(wanted.get("image"))], output, alive)
    if kind not in LISTS:
        raise Refused(f"{kind!r} is no task")
    done = look(LISTS[kind])
    # `rkt list` complains of pods that come and go while it looks, and succeeds.
    os.write(output, done.stderr if done.returncode else done.stdout)
    return done.returncode


def fetch(host: Host, argv: Sequence[str], output: int, alive: int) -> int | None:
    """rkt finds its own stage1 by name, in the store that all images come to: one that takes that name is removed.

    Unless it is rkt's own: the host's first pod brings it into the store, and may do so meanwhile.
    """
    before = _stage1_images()
    code = _watch(argv, output, alive)
    new = _stage1_images() - before
    for image in sorted(new - own_stage1_images(host) if new else new):
        look(("image", "rm", image))
        os.write(output, f"{image} calls itself {STAGE1}, which is a part of rkt; it was removed.\n".encode())
        code = REFUSED
    return code


def _stage1_images() -> set[str]:
    images = json.loads(look(LISTS["images"]).stdout or b"null") or []
    return {image_hash(image["id"]) for image in images if image.get("name", "").startswith(STAGE1)}


def look(arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["rkt", *arguments], env=environment(), timeout=LOOK_SECONDS, capture_output=True, check=False
    )


def _watch(argv: Sequence[str], output: int, alive: int) -> int | None:
    """Run rkt. In a session of its own, which is how it tells that it is in a unit already, and need not make one."""
    process = subprocess.Popen(
        argv,
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    rest = b""
    while True:
        code = process.poll()
        while piece := process.stdout.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                os.write(output, stripped(line + b"\n"))
        if code is not None:
            os.write(output, stripped(rest))
            return code if code >= 0 else 128 - code
        if stopping.is_set() or not _is_locked(alive):
            _end(process)
            return None
        time.sleep(POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As systemd stops a pod; only one that has ended can be removed afterwards."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def stripped(line: bytes) -> bytes:
    """A line as the app wrote it."""
    end = b"\n" if line.endswith(b"\n") else b""
    return LINE_OF_APP.sub(b"", line.rstrip(b"\r\n")) + end


def environment() -> dict[str, str]:
    return {"PATH": PATH, "LANG": "C.UTF-8"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
