"""``python3 -m openslides_host.serve2 SOCKET WORKERS``: OpenSlides 2, daphne and workers behind it."""

import contextlib
import os
import sys


def main(path, workers):
    import django
    from django.db import connections

    from openslides_host.processes import run

    django.setup()

    from openslides_host.redis_client import forget_cache, pool

    forget_cache()
    pool().disconnect()
    connections.close_all()
    return run([lambda: daphne(path)] + [worker] * workers)


def daphne(path):
    """Listens, and passes requests on."""
    # Left by one that was killed: in a container the process that its lock names is this one.
    for left in (path, path + ".lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(left)

    from daphne.cli import CommandLineInterface

    CommandLineInterface().run(["-u", path, "openslides.asgi:channel_layer"])


def worker():
    """Answers."""
    from django.core.management import call_command

    call_command("runworker")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
