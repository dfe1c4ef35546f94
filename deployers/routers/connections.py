"""Who uses instances now: the open connections to their sockets, read from the kernel's own list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

LIST = Path("/proc/net/unix")
CONNECTED = ("02", "03")
"""linux/net.h: SS_CONNECTING, one that nobody has accepted yet, and SS_CONNECTED."""


def open_connections(directory: Path, listed: Iterable[str] | None = None) -> Counter[str]:
    """How many connections are open to each socket NAME.sock of the directory, by NAME; none for one without any.

    One read for the whole host, which needs no right. proc(5): a line has "Num RefCount Protocol Flags Type St Inode
    Path", and the socket of a connection that was accepted, or waits for that, has the path of the one that listens.
    """
    if listed is None:
        with LIST.open(encoding="utf-8", errors="replace") as lines:
            return open_connections(directory, list(lines))
    prefix, suffix = f"{directory}/", ".sock"
    found: Counter[str] = Counter()
    for line in listed:
        fields = line.split(maxsplit=7)
        if len(fields) < 8 or fields[5] not in CONNECTED:
            continue
        path = fields[7].rstrip("\n")
        if path.startswith(prefix) and path.endswith(suffix):
            found[path[len(prefix) : -len(suffix)]] += 1
    return found
