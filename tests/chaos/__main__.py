"""``make chaos``: the parts, each in processes of its own, then the table.

    python -m tests.chaos [--jobs N] [PART…]   planted races kill updates ordinary disk clock postgresql prepare booted

ROUNDS=0 is what CI does, ROUNDS=3 goes longer and deeper (see rounds.py). Ends with 1 if anything did not converge, is
lost or has leaked, or if a part could not be run to its end. What needs root, or a program that is missing, is said and
left out; with CI=true that is a failure. CHAOS_REPORT=FILE keeps the figures as JSON.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.report import Report
from tests.host.conftest import NEEDED
from tests.tools import find


@dataclass(frozen=True, slots=True)
class Part:
    """``module``: of this folder, with its arguments. ``programs``: each with the package that has it."""

    name: str
    module: Sequence[str]
    root: bool = False
    programs: Sequence[tuple[str, str]] = ()

    def missing(self) -> str:
        """What keeps it from being run; empty if nothing does."""
        if self.root and os.geteuid() != 0:
            return "it needs root"
        for program, package in self.programs:
            if find(program) is None:
                return f"{program} is missing: sudo apt-get install {package}"
        return ""


COMPILER = ("cc", "gcc libc6-dev")
POSTGRESQL = (("initdb", "postgresql"),)
PARTS = (
    Part("planted", ["planted"]),
    Part("races", ["races"], programs=POSTGRESQL),
    Part("kill", ["kill"]),
    Part("updates", ["updates"]),
    Part("ordinary", ["storms", "ordinary"]),
    Part("disk", ["storms", "disk"], root=True),
    Part("clock", ["storms", "clock"], programs=(COMPILER,)),
    Part("postgresql", ["storms", "postgresql"], programs=POSTGRESQL),
    Part("prepare", ["prepare"]),
    Part("booted", ["booted"], root=True, programs=(*NEEDED.items(), COMPILER)),
)


def run(part: Part, place: Path) -> Report:
    report, result = Report(), place / f"{part.name}.json"
    module, *arguments = part.module
    done = subprocess.run([sys.executable, "-m", f"tests.chaos.{module}", str(result), *arguments], check=False)
    if result.exists():
        report.add(Report.load(result))
    if done.returncode:
        report.trouble(f"The part {part.name} ended with {done.returncode} before its end.")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--jobs", type=int, default=1, help="so many parts at the same time")
    parser.add_argument("parts", nargs="*", choices=[[], *(part.name for part in PARTS)])
    options = parser.parse_args()
    # What CI does: one preparation takes a minute, and the booted host's share is in tests/host.
    usual = [part.name for part in PARTS if os.environ.get("ROUNDS") != "0" or part.name not in ("prepare", "booted")]
    chosen = options.parts or usual
    report, left_out, began = Report(), [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mi-chaos-") as place, ThreadPoolExecutor(options.jobs) as pool:
        running = []
        for part in PARTS:
            if part.name not in chosen:
                continue
            if missing := part.missing():
                left_out.append(f"The part {part.name} is left out: {missing}.")
                continue
            running.append(pool.submit(run, part, Path(place)))
        for done in running:
            report.add(done.result())
    print("", *report.lines(), "", *left_out, sep="\n")
    print(f"{time.monotonic() - began:.0f} s")
    if path := os.environ.get("CHAOS_REPORT"):
        report.save(Path(path))
    if left_out and os.environ.get("CI") == "true":
        return 1
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
