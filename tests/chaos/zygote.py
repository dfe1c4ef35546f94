"""Workers that are killed with -9 at a given point of an operation: ``python -m tests.chaos.zygote``.

Reads one JSON object per line: ``kind``, ``instance`` (its id; for create: its slug), ``backup`` (an id, where the
kind needs one), ``step`` (from 1) and ``moment`` (``before``, ``within`` or ``after``). For each it forks, so that
nothing is imported again; the child files the operation without a message, runs it as the real worker does, and the
kernel ends it at that point. Answers with the operation's id, the instance's, the steps, and whether it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from typing import Any

import django

WITHIN_SECONDS = 0.02


def file_operation(wanted: dict[str, Any]) -> Any:
    from instances import operations
    from instances.choices import Origin
    from instances.models import Backup, Domain, Instance, Version

    request = operations.Request(via=Origin.COMMAND)
    kind = wanted["kind"]
    backup = Backup.objects.get(pk=wanted["backup"]) if wanted.get("backup") else None
    if kind == "create":
        domain, version = Domain.objects.get(domain="localhost"), Version.objects.get(name="3.3")
        new = Instance(slug=wanted["instance"], domain=domain, version=version, event_name="Chaos")
        return operations.create(new, request, backup)
    if kind == "verify":
        assert backup is not None
        return operations.verify(backup, request)
    if kind == "restore":
        assert backup is not None
        return operations.restore(backup, request)
    if kind == "prepare":
        return operations.prepare(Version.objects.get(name=wanted["version"]), request)
    instance = Instance.objects.get(pk=wanted["instance"])
    if kind == "update":
        return operations.update(instance, Version.objects.get(name="3.3"), request)
    return getattr(operations, kind)(instance, request)


def run_and_die(wanted: dict[str, Any], answer: int) -> None:
    from deployers.plan import Log, Plan, Step
    from instances import runner
    from instances.recorder import Recorder

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying(step: Step) -> Step:
        def do(log: Log) -> None:
            if wanted["moment"] == "before":
                die()
            if wanted["moment"] == "within":
                threading.Timer(WITHIN_SECONDS, die).start()
            step.do(log)
            die()

        return replace(step, do=do)

    operation = file_operation(wanted)
    whole = runner.run_plan

    def run_plan(plan: Plan, recorder: Recorder) -> None:
        told = {"operation": operation.pk, "instance": operation.instance_id, "steps": [step.name for step in plan]}
        os.write(answer, json.dumps(told).encode())
        whole(tuple(dying(step) if at == wanted["step"] else step for at, step in enumerate(plan, start=1)), recorder)

    runner.run_plan = run_plan
    runner.run(operation.pk)


def main() -> None:
    django.setup()
    for line in sys.stdin:
        wanted = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            code = 1
            try:
                run_and_die(wanted, writing)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with open(reading, "rb") as answer:
            told = json.loads(answer.read() or b"{}")
        _pid, status = os.waitpid(child, 0)
        told["killed"] = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
