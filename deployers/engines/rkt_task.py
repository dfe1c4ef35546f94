"""Has root's unit do a task, shows what it prints, and ends with its exit code: ``python3 -IS rkt_task.py JSON``.

Run by the service user. The task lies in a directory of his own below /run/openslides/web; the unit
openslides_rkt_task@ID.service does it (``deployers/services/rkt_unit.py``, which says what is in the directory). When
this process ends early, in whatever way, its lock is gone, and the unit ends the task.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

WEB = Path("/run/openslides/web")
POLL_SECONDS = 0.05
NOT_DONE = 125
"""Exit code: systemd did not do the task."""


def main(wanted: str) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    task_id = secrets.token_hex(16)
    directory = WEB / task_id
    directory.mkdir(mode=0o700)
    try:
        with open(directory / "alive", "x", encoding="utf-8") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            (directory / "task.json").write_text(wanted, encoding="utf-8")
            return have_done(f"openslides_rkt_task@{task_id}.service", directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def have_done(unit: str, directory: Path) -> int:
    # Not locked by systemctl: the lock shall end with this process.
    starting = subprocess.Popen(
        ["systemctl", "--no-ask-password", "start", "--", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    shown = 0
    while starting.poll() is None:
        try:
            starting.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            shown = show(directory / "output", shown)
    show(directory / "output", shown)
    try:
        return int((directory / "result").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        assert starting.stdout is not None
        said = starting.stdout.read().decode("utf-8", "replace").strip()
        sys.stderr.write(f"systemd did not do the task: {said or 'it says nothing'}\nMore: journalctl -u {unit}\n")
        return NOT_DONE


def show(output: Path, shown: int) -> int:
    """Print what has come; gives how much that is by now."""
    try:
        with output.open("rb") as stream:
            stream.seek(shown)
            new = stream.read()
    except FileNotFoundError:
        return shown
    os.write(1, new)
    return shown + len(new)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
