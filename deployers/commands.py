"""The one place that runs a program: argv lists, a time-out, no shell, no secret in argv."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from deployers import interruption
from deployers.errors import CommandFailed, CommandMissing, CommandTimedOut
from deployers.plan import Log

TAIL_LINES = 30


def run(
    argv: Sequence[str | Path],
    *,
    log: Log,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run ``argv`` and return what it printed (stdout and stderr, as one text).

    ``timeout`` is in seconds. ``env`` replaces the environment as a whole, but for PATH and LANG.
    Secrets go through ``stdin``. Each line is given to ``log`` as it is printed. The program is
    ended with its whole process group at the time-out, and dies with this process.

    Raises CommandMissing, CommandFailed, CommandTimedOut, Interrupted.
    """
    args = [str(a) for a in argv]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **(env or {})}
    try:
        process = subprocess.Popen(
            dying_with_parent(args),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise CommandMissing(args[0]) from None
    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        end_group(process)

    timer = threading.Timer(timeout, end)
    timer.start()
    lines: list[str] = []
    bell = interruption.current()
    try:
        with bell.calls(lambda: end_group(process)) if bell else contextlib.nullcontext():
            code = _feed_and_read(process, stdin, lines, log)
    finally:
        timer.cancel()
        if process.poll() is None:
            end_group(process)
            process.wait()
    interruption.check()
    tail = "".join(deque(lines, TAIL_LINES)).strip()
    if timed_out.is_set():
        raise CommandTimedOut(args[0], timeout, tail)
    if code != 0:
        if code == 127 and not shutil.which(args[0]):
            raise CommandMissing(args[0])
        raise CommandFailed(args[0], code, tail)
    return "".join(lines)


def _feed_and_read(process: subprocess.Popen[str], stdin: str | None, lines: list[str], log: Log) -> int:
    assert process.stdout is not None
    if stdin is not None:
        assert process.stdin is not None
        try:
            process.stdin.write(stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended without reading; its exit code says why
    for line in process.stdout:
        lines.append(line)
        log(line)
    return process.wait()


def dying_with_parent(argv: list[str]) -> list[str]:
    """``argv`` as a command that the kernel ends when its parent dies, also by kill -9.

    setpriv(1) of util-linux sets PR_SET_PDEATHSIG (prctl(2)) and executes the command in its place,
    with the same process id. Where setpriv is missing, the command itself.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else argv


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process that was started in a session of its own, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
