"""A worker that is killed with -9 at one given point of an operation: ``python -m tests.embedded.dying_worker``.

Arguments: the slug of an instance to create, the number of a step (from 1), and ``before``, ``after`` or ``within``.
It files the operation without a message, runs it as the real worker does, and the kernel ends it at that point.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import django


def main() -> None:
    slug, number, moment = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    django.setup()

    from django.db import transaction

    from deployers.plan import Log, Plan, Step
    from instances import claims, operations, runner
    from instances.choices import Origin
    from instances.models import Domain, Instance, Version
    from instances.recorder import Recorder

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying(step: Step) -> Step:
        def do(log: Log) -> None:
            if moment == "before":
                die()
            step.do(log)
            die()

        return replace(step, do=do)

    whole = runner.run_plan

    def run_plan(plan: Plan, recorder: Recorder) -> None:
        if number > len(plan):
            raise SystemExit(f"The plan has {len(plan)} steps only: {[step.name for step in plan]}")
        whole(tuple(dying(step) if at == number else step for at, step in enumerate(plan, start=1)), recorder)

    runner.run_plan = run_plan
    instance = Instance(
        slug=slug,
        domain=Domain.objects.get(domain="localhost"),
        version=Version.objects.get(name="3.3"),
        event_name=slug,
    )
    # In one transaction, so that the real worker cannot have it first.
    with transaction.atomic():
        operation = operations.create(instance, operations.Request(via=Origin.COMMAND))
        taken = claims.take(operation.pk)
        assert taken is not None, "there is no free place"
    claims.take = lambda number: taken
    print(instance.pk, flush=True)
    runner.run(operation.pk)
    raise SystemExit("The operation ended before the worker was killed.")


if __name__ == "__main__":
    main()
