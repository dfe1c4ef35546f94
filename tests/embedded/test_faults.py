"""Steps fail, workers and instances die: the operator is told, what was made is undone, and trying again works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.embedded.openslides import OpenSlides
from tests.embedded.product import PROJECT, Product
from tests.observing import listens, wait_for


def lock_start(product: Product, identity: str) -> str:
    """Keep the product from mending an instance, which somebody breaks here; the id of the lock."""
    relation = {"instance": {"data": {"type": "instances", "id": identity}}}
    attributes = {"action": "start", "reason": "It is broken by hand"}
    document = {"data": {"type": "locks", "attributes": attributes, "relationships": relation}}
    return str(product.call("POST", "locks", document, expect=201)["data"]["id"])


def instance_directory(product: Product, identity: str) -> Path:
    return product.data_dir / "instances" / identity


def test_a_failed_creation_is_undone_and_can_be_tried_again(product: Product) -> None:
    version = product.data_dir / "versions" / "pypi-openslides-3.3"
    aside = version.with_suffix(".aside")
    version.rename(aside)
    try:
        made = product.create("unlucky")
        operation = product.wait_finished(made["id"])
        assert operation["status"] == "failed"
        assert operation["failed_step"]
        assert "prepared" in operation["error"]
        assert product.wait_state(made["id"], "installing-failed")
        assert not instance_directory(product, made["id"]).exists()
        assert not (product.data_dir / "supervisor" / "instances.d" / f"{made['id']}.conf").exists()
    finally:
        aside.rename(version)
    product.patch(made["id"], attributes={"state": "active"})
    instance = product.settled(made["id"], "active")
    assert OpenSlides(instance["url"]).login("admin", made["superadmin_password"]) == 200
    product.call("DELETE", f"instances/{made['id']}", expect=204)


def test_a_disk_that_refuses_to_write_fails_the_step_and_leaves_nothing(product: Product) -> None:
    """A file where the instances' directory should be: the same OSError path as a full disk, without root."""
    directory = product.data_dir / "instances"
    aside = product.data_dir / "instances.aside"
    product.wait_state(product.create("before")["id"], "active")
    directory.rename(aside)
    directory.write_text("")
    try:
        made = product.create("no-disk")
        operation = product.wait_finished(made["id"])
        assert operation["status"] == "failed"
        assert "Traceback" not in operation["error"]
        product.wait_state(made["id"], "installing-failed")
    finally:
        directory.unlink()
        aside.rename(directory)
    product.patch(made["id"], attributes={"state": "active"})
    product.settled(made["id"], "active")
    product.call("DELETE", f"instances/{made['id']}", expect=204)


def test_an_operation_whose_worker_was_killed_is_taken_up_and_ends_well(product: Product) -> None:
    """kill -9 before and after steps of a creation, each with an instance of its own; at all of them: `make chaos`."""
    finished = product.wait_finished(product.create("model")["id"])
    names = [step["name"] for step in finished["steps"]]
    points = [(number, moment) for number in range(1, len(names) + 1) for moment in ("before", "after")][2::3]
    environment = {**product.environment, "DJANGO_SETTINGS_MODULE": "multiinstance.settings"}
    # No message of this process reaches the real worker: it must find the operation by itself.
    environment |= {"BROKER_URL": "memory://", "OPERATIONS_AT_ONCE": "100"}
    made = {}
    for number, moment in points:
        died = subprocess.run(
            [sys.executable, "-m", "tests.embedded.dying_worker", f"killed-{moment}-{number}", str(number), moment],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        made[f"{moment} {names[number - 1]}"] = died.stdout.split()[0]
    for point, identity in made.items():
        operation = product.wait_finished(identity)
        assert operation["status"] == "succeeded", f"{point}: {operation}"
        instance = product.wait_state(identity, "active")
        assert OpenSlides(instance["url"]).version() == "3.3", point
        assert len(product.call("GET", f"operations?filter[instance]={identity}")["data"]) == 1
    for identity in made.values():
        product.call("DELETE", f"instances/{identity}", expect=204)
    for identity in made.values():
        assert product.wait_finished(identity)["status"] == "succeeded"


def test_the_real_worker_killed_in_the_middle_goes_on_after_its_restart(product: Product) -> None:
    made = [product.create(f"storm-{number}") for number in range(4)]
    wait_for("an operation that runs", lambda: product.call("GET", "operations?filter[status]=running")["data"] or None)
    os.kill(product.pid_of("worker"), signal.SIGKILL)
    for instance in made:
        product.settled(instance["id"], "active")
        product.call("DELETE", f"instances/{instance['id']}", expect=204)


def test_an_instance_that_dies_once_comes_back_and_one_that_cannot_run_is_in_error(product: Product) -> None:
    made = product.create("mortal")
    instance = product.settled(made["id"], "active")
    port = int(instance["url"].rstrip("/").rpartition(":")[2])
    first = product.pid_of(made["id"])
    lock = lock_start(product, made["id"])
    os.kill(first, signal.SIGKILL)
    wait_for("its return", lambda: listens(port) and product.pid_of(made["id"]) not in (0, first), 180)

    settings = instance_directory(product, made["id"]) / "settings.py"
    good = settings.read_text()
    settings.write_text("raise SystemExit('broken by hand')\n")
    os.kill(product.pid_of(made["id"]), signal.SIGKILL)
    product.wait_state(made["id"], "error")

    settings.write_text(good)
    product.call("DELETE", f"locks/{lock}", expect=204)
    product.patch(made["id"], attributes={"state": "active"})
    product.settled(made["id"], "active")
    product.call("DELETE", f"instances/{made['id']}", expect=204)


def test_an_instance_that_never_answers_fails_with_the_end_of_its_log(product: Product) -> None:
    made = product.create("mute")
    product.settled(made["id"], "active")
    product.patch(made["id"], attributes={"state": "stopped"})
    product.settled(made["id"], "stopped")
    # settings.py is written anew at every start; this file comes before the installed module.
    broken = instance_directory(product, made["id"]) / "daphne.py"
    broken.write_text("raise SystemExit('the reason of the failure')\n")
    product.patch(made["id"], attributes={"state": "active"})
    lock = lock_start(product, made["id"])
    operation = product.wait_finished(made["id"])
    assert operation["status"] == "failed"
    assert "the reason of the failure" in operation["error"]
    product.wait_state(made["id"], "error")
    broken.unlink()
    product.call("DELETE", f"locks/{lock}", expect=204)
    product.patch(made["id"], attributes={"state": "active"})
    product.settled(made["id"], "active")
    product.call("DELETE", f"instances/{made['id']}", expect=204)
