"""What else can happen to an embedded host: messages lost and doubled, all processes killed, a full disk, races."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployers.layout import EmbeddedLayout
from tests.chaos.fleet import Fleet
from tests.chaos.report import Report
from tests.embedded.product import JSON_API, Product
from tests.observing import processes_of

RACES = 100
UNFINISHED = "SELECT count(*) FROM instances_operation WHERE instance_id = ? AND status IN ('queued', 'running')"


def broker(fleet: Fleet) -> Path:
    return fleet.product.data_dir / "broker"


def settle(fleet: Fleet, report: Report, fault: str, wanted: dict[str, str], topics: dict[str, list[str]]) -> None:
    """Wait until each instance is in its wanted state, with its data, and nothing else is there."""
    for instance, state in wanted.items():
        began, lost, seconds = time.monotonic(), "", None
        try:
            fleet.converged(instance, state)
            seconds = time.monotonic() - began
            if instance in topics:
                found = fleet.topics(instance)
                lost = "" if found == topics[instance] else f"{fault}: topics {found}"
        except AssertionError as error:
            report.trouble(f"{fault}: {error}")
        report.trial(fault, seconds, lost=lost)
    leaked = fleet.leaks()
    for what in sorted(leaked):
        report.trouble(f"{fault}: leaked {what}")
    if leaked:
        report.trial(fault, 0.0, leaked=leaked)


def test_all_messages_are_lost(fleet: Fleet, report: Report, rounds: int) -> None:
    for round_number in range(rounds):
        made = [fleet.product.create(f"lost-{round_number}-{number}")["id"] for number in range(4)]
        for message in broker(fleet).glob("*.msg"):
            message.unlink(missing_ok=True)
        settle(fleet, report, "broker emptied", dict.fromkeys(made, "active"), {})
        remove(fleet, made)
    assert report.is_good, "\n".join(report.lines())


def test_every_message_comes_twice(fleet: Fleet, report: Report, rounds: int) -> None:
    for round_number in range(rounds):
        made = []
        for number in range(4):
            made.append(fleet.product.create(f"twice-{round_number}-{number}")["id"])
            for message in broker(fleet).glob("*.msg"):
                try:
                    shutil.copy(message, message.with_name(f"{time.monotonic_ns()}_{message.name}"))
                except FileNotFoundError:
                    continue
        settle(fleet, report, "messages doubled", dict.fromkeys(made, "active"), {})
        query = "SELECT count(*) FROM instances_operation WHERE instance_id = ?"
        for instance in made:
            assert fleet.rows(query, instance) == [(1,)]
        remove(fleet, made)
    assert report.is_good, "\n".join(report.lines())


def test_the_power_fails_in_the_middle(fleet: Fleet, report: Report, rounds: int) -> None:
    """kill -9 of everything, control plane and instances, while operations run; then it is started again."""
    for round_number in range(rounds):
        stays = fleet.create(f"stays-{round_number}")
        rests = fleet.create(f"rests-{round_number}")
        fleet.product.patch(rests, attributes={"state": "stopped"})
        fleet.converged(rests, "stopped")
        made = [fleet.product.create(f"power-{round_number}-{number}")["id"] for number in range(3)]
        time.sleep(0.4)
        for _again in range(3):
            for number in processes_of(fleet.product.data_dir):
                if number != fleet.zygote:
                    kill(number)
        assert fleet.product.process is not None
        fleet.product.process.wait(10)
        fleet.product.start()
        wanted = {**dict.fromkeys([*made, stays], "active"), rests: "stopped"}
        settle(fleet, report, "power failed", wanted, {stays: ["written"]})
        fleet.product.patch(rests, attributes={"state": "active"})
        settle(fleet, report, "power failed", {rests: "active"}, {rests: ["written"]})
        remove(fleet, [*made, stays, rests])
    assert report.is_good, "\n".join(report.lines())


def kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def remove(fleet: Fleet, made: list[str]) -> None:
    for instance in made:
        fleet.product.call("DELETE", f"instances/{instance}", expect=204)
    for instance in made:
        fleet.converged(instance, "gone")


def test_two_operators_and_the_system_race_for_one_instance(fleet: Fleet, report: Report, rounds: int) -> None:
    """Never two operations at once; the loser gets 409 with the code that says why."""
    own = fleet.create("raced")
    codes: dict[int, int] = {}

    def ask(state: str) -> int:
        document = {"data": {"type": "instances", "id": own, "attributes": {"state": state}}}
        answer = fleet.product.session.patch(
            f"{fleet.product.url}/api/instances/{own}", json=document, headers={"Content-Type": JSON_API}, timeout=30
        )
        if answer.status_code == 409:
            assert "operation_running" in answer.text
        return answer.status_code

    with ThreadPoolExecutor(4) as pool:
        for race in range(RACES * rounds):
            asked = [pool.submit(ask, state) for state in ("stopped", "active", "stopped", "active")]
            for done in asked:
                codes[done.result()] = codes.get(done.result(), 0) + 1
            together = fleet.rows(
                "SELECT count(*) FROM instances_operation WHERE instance_id = ? AND status IN ('queued', 'running')",
                own,
            )[0][0]
            report.trial("race of two operators", 0.0, lost="" if together <= 1 else "two at once")
            assert together <= 1, race
    assert set(codes) <= {200, 202, 409}, codes
    fleet.product.wait_finished(own)
    fleet.product.patch(own, attributes={"state": "active"})
    settle(fleet, report, "after the races", {own: "active"}, {own: ["written"]})
    remove(fleet, [own])
    assert report.is_good, "\n".join(report.lines())


@pytest.mark.skipif(os.geteuid() != 0, reason="mount(8) is for root")
def test_the_disk_is_full(fleet: Fleet, report: Report, rounds: int) -> None:
    """A small disk of its own for the instances, filled up: creations fail and leave nothing; with room they work."""
    place = EmbeddedLayout(fleet.product.data_dir).data_dir / "instances"
    stays = fleet.create("before-the-disk-was-full")
    fleet.product.patch(stays, attributes={"state": "stopped"})
    fleet.converged(stays, "stopped")
    aside = place.with_name("instances.aside")
    shutil.copytree(place, aside, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", place], check=True)
    try:
        for entry in aside.iterdir():
            shutil.move(entry, place / entry.name)
        full = place / "full"
        with full.open("wb", buffering=0) as stream:
            fill(stream)
        refused: dict[str, Any] = fleet.product.create("no-room")
        operation = fleet.product.wait_finished(refused["id"])
        assert operation["status"] == "failed"
        assert "No space left" in operation["error"]
        full.unlink()
        fleet.product.patch(refused["id"], attributes={"state": "active"})
        fleet.product.patch(stays, attributes={"state": "active"})
        wanted = {refused["id"]: "active", stays: "active"}
        settle(fleet, report, "disk full", wanted, {stays: ["written"]})
        remove(fleet, list(wanted))
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        shutil.rmtree(aside)
        for entry in place.iterdir():
            shutil.rmtree(entry)
    assert report.is_good, "\n".join(report.lines())


def fill(stream: Any) -> None:
    try:
        while True:
            stream.write(b"\0" * 65536)
    except OSError:
        return


def test_nothing_of_all_this_is_left(fleet: Fleet, report: Report, chaos_product: Product) -> None:
    leaked = fleet.leaks()
    for what in sorted(leaked):
        report.trouble(f"leaked: {what}")
    report.trial("scan of the host at the end", 0.0, leaked=leaked)
    assert report.is_good, "\n".join(report.lines())
