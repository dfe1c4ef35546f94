"""kill -9 of the worker at every step of every kind of operation, with the real OpenSlides on the embedded host.

    python -m tests.chaos.kill RESULT [KIND…]

See rounds.py for the places at which it dies.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.kinds import KINDS
from tests.chaos.plant import plant
from tests.chaos.report import Report, told
from tests.chaos.rounds import Round
from tests.observing import free_port, listens, wait_for

if TYPE_CHECKING:
    from instances.models import Instance


@contextmanager
def relay() -> Iterator[tuple[int, Path]]:
    """A mail relay: its port, and the Maildir that mail comes into. A process of its own, since this one forks."""
    with tempfile.TemporaryDirectory(prefix="mi-mail-") as place:
        inbox, port = Path(place) / "inbox", free_port()
        options = ["--nosetuid", "--listen", f"127.0.0.1:{port}", "--class", "aiosmtpd.handlers.Mailbox", str(inbox)]
        process = subprocess.Popen([sys.executable, "-m", "aiosmtpd", *options])
        try:
            wait_for("the mail relay", lambda: listens(port))
            yield port, inbox
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    result, only = Path(sys.argv[1]), sys.argv[2:]
    rounds, seed = int(os.environ.get("ROUNDS") or 1), os.environ.get("SEED") or str(random.randrange(10**6))
    print(f"SEED={seed} repeats the places within the steps", flush=True)
    report, chance = Report(), random.Random(seed)
    with relay() as (port, inbox), plant({"INSTANCE_MAIL_HOST": "127.0.0.1", "INSTANCE_MAIL_PORT": str(port)},
                                         report=report) as made:  # fmt: skip
        made.inbox = inbox
        pool: list[Instance] = []
        for make in KINDS:
            kind = make(made)
            if (not only or kind.name in only) and kind.can_be_done():
                with told(f"kill -9 in {kind.name}"):
                    Round(made, kind, report, rounds, chance).run(pool)
                report.save(result)
    report.save(result)


if __name__ == "__main__":
    main()
