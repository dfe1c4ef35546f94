"""The side of the booted host's chaos that runs in there, as the control plane's own user and with its environment.

    python -m tests.chaos.booted_inside RESULT kill [KIND…]     workers die (see rounds.py)
    python -m tests.chaos.booted_inside RESULT planted          what the scan must find (see booted_planted.py)
    python -m tests.chaos.booted_inside RESULT begin            ask for all that is under way when a storm comes
    python -m tests.chaos.booted_inside RESULT judge NAME       what became of it

RESULT: where the figures go; what ``begin`` leaves for ``judge`` lies beside it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import booted_planted, storm
from tests.chaos.booted_fleet import BootedFleet
from tests.chaos.kinds import KINDS
from tests.chaos.report import Report, told
from tests.chaos.rounds import Round

if TYPE_CHECKING:
    from instances.models import Instance


def kill(fleet: BootedFleet, result: Path, only: list[str]) -> None:
    rounds, seed = int(os.environ.get("ROUNDS") or 1), os.environ.get("SEED") or str(random.randrange(10**6))
    report, chance = Report(), random.Random(seed)
    pool: list[Instance] = []
    print(f"SEED={seed} repeats the places within the steps", flush=True)
    for make in KINDS:
        kind = make(fleet)
        if (not only or kind.name in only) and kind.can_be_done():
            with told(f"booted host: kill -9 in {kind.name}"):
                Round(fleet, kind, report, rounds, chance).run(pool)
            report.save(result)
    fleet.purge(pool)
    report.save(result)


def main() -> None:
    result, what, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    weather = result.with_suffix(".weather")
    fleet = BootedFleet()
    fleet.open()
    if what == "kill":
        kill(fleet, result, arguments)
    elif what == "planted":
        report = Report()
        with told("booted host: what is planted is found"):
            booted_planted.run(fleet, report)
        report.save(result)
    elif what == "begin":
        weather.write_text(json.dumps(asdict(storm.begin(fleet))))
        # The power may fail next.
        os.sync()
    else:
        report = Report()
        storm.judge(fleet, arguments[0], storm.Weather(**json.loads(weather.read_text())), report)
        report.save(result)


if __name__ == "__main__":
    main()
