"""One at a time at each thing of this machine, also when the one before was only held up and comes back.

Claims are rows, and a row cannot stop a process. A worker that was stopped (a signal, a frozen container, a machine
that swaps) for longer than the lease loses its operation to another one, and goes on in the middle of its step when it
is woken. So who works on a thing has its *turn* as well: a lock of the kernel's, which is free again when its holder
has ended it or has died, and not before.

The locks are ranges of one byte in one file (fcntl_locking(2), "open file description locks"): at the byte that the
thing's name gives. So there is nothing to tidy up, threads exclude each other like processes, and programs that a step
starts do not inherit them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from deployers.backups.verifying import scratch_id
from instances import worker
from instances.models import Operation, Orphan

FILE = "turns.lock"
POLL_SECONDS = 0.05
WAIT_SECONDS = 10.0
"""A worker that has lost its claim ends its step within about a second."""


class NotOurTurn(Exception):
    """Somebody on this machine is still at work on it."""

    def __init__(self, thing: str) -> None:
        self.thing = thing
        super().__init__(f"Somebody on this machine is still at work on {thing}.")


def thing_of(operation: Operation) -> str:
    """What on its host the operation works on: the id of an instance or of what looks like one, or a version."""
    if operation.instance_id is not None:
        return operation.instance_id
    if operation.backup is not None:
        return scratch_id(operation.backup.name)
    return version(operation.version.spec().directory_name) if operation.version else f"operation {operation.pk}"


def of_orphan(orphan: Orphan) -> str:
    """What would own it, if anything did."""
    return orphan.instance_id or version(Path(orphan.name).name.removesuffix(".coming"))


def version(directory_name: str) -> str:
    """The name of the thing that is one prepared version."""
    return f"version {directory_name}"


@contextmanager
def turn(thing: str, wait: float = 0.0) -> Iterator[None]:
    """Have the turn at ``thing`` inside of the block; wait for it for at most so many seconds.

    Raises NotOurTurn, Stopping.
    """
    descriptor = os.open(settings.DATA_DIR / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait
        while not _lock(descriptor, thing):
            if time.monotonic() >= deadline:
                raise NotOurTurn(thing)
            worker.check()
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, thing: str) -> bool:
    """Whether it is ours now; closing the descriptor gives it back."""
    place = int.from_bytes(hashlib.sha256(thing.encode()).digest()[:7])
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
    except BlockingIOError:
        return False
    return True
