"""Ctrl-C stops everything, and the next start brings back what was active."""

from __future__ import annotations

import os
import signal

from tests.embedded.openslides import OpenSlides
from tests.embedded.product import Product
from tests.observing import listens, processes_of, wait_for


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


def test_after_a_restart_the_same_instances_run(own_product: Product) -> None:
    product = own_product
    product.start()
    active, stopped = product.create("stays-active"), product.create("stays-stopped")
    url = product.settled(active["id"], "active")["url"]
    product.settled(stopped["id"], "active")
    product.patch(stopped["id"], attributes={"state": "stopped"})
    product.settled(stopped["id"], "stopped")

    product.stop()
    assert processes_of(product.data_dir) == {}
    assert not listens(port_of(url))
    assert not listens(product.port)

    product.start()
    instance = product.wait_state(active["id"], "active")
    assert OpenSlides(instance["url"]).login("admin", active["superadmin_password"]) == 200
    assert product.wait_state(stopped["id"], "stopped")
    assert product.last_operation(stopped["id"])["kind"] == "stop"


def test_a_power_cut_leaves_no_process_and_the_next_start_works(own_product: Product) -> None:
    product = own_product
    product.start()
    made = product.create("survivor")
    product.settled(made["id"], "active")
    assert product.process is not None
    os.kill(product.process.pid, signal.SIGKILL)
    product.process.wait()
    wait_for("the end of everything", lambda: not processes_of(product.data_dir), 120)
    product.start()
    product.wait_state(made["id"], "active")
