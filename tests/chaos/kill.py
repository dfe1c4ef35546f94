"""kill -9 of the worker at every step of every kind of operation, with the real OpenSlides on the embedded host.

    python -m tests.chaos.kill RESULT [KIND…]

See rounds.py for the places at which it dies.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.kinds import KINDS
from tests.chaos.plant import plant
from tests.chaos.report import Report, told
from tests.chaos.rounds import Round

if TYPE_CHECKING:
    from instances.models import Instance


def main() -> None:
    result, only = Path(sys.argv[1]), sys.argv[2:]
    rounds, seed = int(os.environ.get("ROUNDS") or 1), os.environ.get("SEED") or str(random.randrange(10**6))
    print(f"SEED={seed} repeats the places within the steps", flush=True)
    report, chance = Report(), random.Random(seed)
    with plant() as made:
        pool: list[Instance] = []
        for make in KINDS:
            kind = make(made)
            if not only or kind.name in only:
                with told(f"kill -9 in {kind.name}"):
                    Round(made, kind, report, rounds, chance).run(pool)
                report.save(result)
    report.save(result)


if __name__ == "__main__":
    main()
