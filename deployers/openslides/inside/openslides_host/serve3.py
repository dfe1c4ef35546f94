"""``python3 -m openslides_host.serve3 SOCKET PROCESSES``: OpenSlides 3, in processes that share one unix socket."""

import contextlib
import os
import socket
import sys
import types

BACKLOG = 128
MODE = 0o666
"""As daphne makes its socket; the directory decides who gets there."""
FIRST = 3
"""The descriptor that Twisted expects (sd_listen_fds(3)); daphne's own ``--fd`` knows TCP only."""


def main(path, processes):
    listen(path)

    from openslides_host.processes import run, run_first

    prepare()
    # One process makes what is missing, say the cache: OpenSlides does not keep a second from using it half made.
    run_first(first_start)
    return run([daphne] * processes)


def listen(path):
    """Listen on the descriptor FIRST. Who connects before the processes are there waits."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    os.chmod(path, MODE)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    descriptor = listening.detach()
    if descriptor != FIRST:
        os.dup2(descriptor, FIRST)
        os.close(descriptor)


def prepare():
    """Load what all processes have in common, which they share then.

    Not daphne's server: it makes an event loop when it is imported, which processes cannot share. Channels imports it
    for just that, and for a runserver that nobody needs here.
    """
    import daphne
    import django
    from django.db import connections

    daphne.server = sys.modules["daphne.server"] = types.ModuleType("daphne.server")
    daphne.server.Server = None
    django.setup()
    del sys.modules["daphne.server"], daphne.server

    from openslides_host.redis_client import forget_cache, pool

    forget_cache()
    pool().disconnect()
    connections.close_all()


def first_start():
    """What OpenSlides does when it is loaded."""
    import openslides.asgi  # noqa: F401


def daphne():
    """One process."""
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")

    from daphne.cli import CommandLineInterface

    CommandLineInterface().run(["-e", "systemd:domain=UNIX:index=0", "openslides.asgi:application"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
