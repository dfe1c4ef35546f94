"""What a fleet of sleeping instances costs on a production host, each as a share of one.

    python -m bench.fleet [INSTANCES]

Boots a machine of the tests, sets it up with ``make host``, and then

1. creates one instance, and measures memory and processes when it sleeps;
2. creates INSTANCES (200) in all, and lets them sleep: what each costs;
3. creates one more: its time over that of the first ones (the median of 5 each).

Ends with 1 when the last costs more than 1.1 times what the first cost.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack

from tests.host.conftest import DOMAIN, PASSWORD, booted
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.observing import wait_for

LIMIT = 1.1
SAMPLES = 5


def create(operator: Operator, slug: str) -> tuple[str, float]:
    """Id, and seconds from the POST to the end of the operation."""
    began = time.perf_counter()
    number = operator.add("instances", {"slug": slug, "event_name": slug, "idle_minutes": 1})["id"]
    found = operator.settled(number, 300)
    assert found["attributes"]["state"] == "active", operator.last_operation(number)
    return number, operator.last_operation(number)["attributes"]["seconds"] or time.perf_counter() - began


def usage(machine: Machine) -> tuple[float, int]:
    """Resident memory of all processes in MiB, and their number."""
    lines = machine.do("ps", "-eo", "rss=").split()
    return sum(int(line) for line in lines) / 1024, len(lines)


def asleep(operator: Operator, count: int) -> None:
    def all_sleep() -> bool:
        answer = operator.get("/api/instances?filter[state]=sleeping")
        return bool(answer["meta"]["pagination"]["count"] >= count)

    wait_for(f"{count} sleep", all_sleep, 1500, every=2)
    time.sleep(5)


def main(instances: int) -> int:
    with ExitStack() as stack:
        machine = stack.enter_context(booted("bench", ("3.3",)))
        operator = Operator(Visitor(machine, DOMAIN), "admin", PASSWORD)
        wait_for(
            "3.3 is prepared",
            lambda: operator.get("/api/osversions")["data"][0]["attributes"]["preparation"] == "prepared",
            300,
            every=1,
        )
        create(operator, "warm-up")
        first = [create(operator, f"first-{count}")[1] for count in range(SAMPLES)]
        asleep(operator, SAMPLES + 1)
        memory, processes = usage(machine)
        made = SAMPLES + 1
        for count in range(made, instances):
            values = {"slug": f"fleet-{count}", "idle_minutes": 1}
            operator.add("instances", values)
        made = max(made, instances)
        asleep(operator, made)
        memory_all, processes_all = usage(machine)
        last = [create(operator, f"last-{count}")[1] for count in range(SAMPLES)]
    more = made - SAMPLES - 1
    ratio = statistics.median(last) / statistics.median(first)
    print(f"{made} sleeping instances on one host")
    print(f"memory for each            {(memory_all - memory) / more * 1024:8.0f} KiB")
    print(f"processes for each         {(processes_all - processes) / more:8.2f}")
    print(f"creation, the first        {statistics.median(first):8.2f} s")
    print(f"creation, with {made} there   {statistics.median(last):8.2f} s")
    print(f"ratio                      {ratio:8.2f}   (goal: at most {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
