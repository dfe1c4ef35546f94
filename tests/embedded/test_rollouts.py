"""An update of many real instances in waves: it stops at one that fails, and goes on when that is mended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.embedded.product import Product
from tests.embedded.test_backups import add_topic, topics
from tests.observing import wait_for


def rename(product: Product, identity: str, old: str, new: str) -> None:
    """A table of an instance's database."""
    path = product.data_dir / "instances" / identity / "data" / "database.sqlite"
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


def rollout(product: Product, number: str) -> dict[str, Any]:
    return dict(product.call("GET", f"rollouts/{number}", expect=200)["data"]["attributes"])


def wait_until(product: Product, number: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = rollout(product, number)
        return found if found["status"] == status else None

    try:
        return wait_for(f"the rollout is {status}", look, 400, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {rollout(product, number)}") from None


def test_it_stops_at_what_fails_and_goes_on_when_that_is_mended(product: Product) -> None:
    made = [product.create(f"wave-{number}", "3.2") for number in range(4)]
    passwords = {one["id"]: one["superadmin_password"] for one in made}
    first, broken, *others = ids = list(passwords)
    for identity in ids:
        add_topic(product.settled(identity, "active")["url"], passwords[identity], "Before")
    rename(product, broken, "motions_motion", "motions_lost")

    relations = {
        "osversion": {"data": {"type": "osversions", "id": product.version_id("3.3")}},
        "instances": {"data": [{"type": "instances", "id": identity} for identity in ids]},
    }
    attributes = {"waves": "1,1,2", "failure_percent": 10}
    document = {"data": {"type": "rollouts", "attributes": attributes, "relationships": relations}}
    number = product.call("POST", "rollouts", document, expect=201)["data"]["id"]

    # The second wave fails as a whole; the third one is spared, and nobody has lost anything.
    stopped = wait_until(product, number, "stopped")
    assert "wave 2" in stopped["reason"]
    assert [item["status"] for item in stopped["items"]] == ["updated", "failed", "waiting", "waiting"]
    assert "motions_motion" in stopped["items"][1]["note"]
    states = {identity: product.call("GET", f"instances/{identity}?include=osversion")["included"] for identity in ids}
    releases = {identity: found[0]["attributes"]["name"] for identity, found in states.items()}
    assert [releases[identity] for identity in ids] == ["3.3", "3.2", "3.2", "3.2"]
    assert topics(product.wait_state(others[0], "active")["url"], passwords[others[0]]) == ["Before"]

    rename(product, broken, "motions_lost", "motions_motion")
    document = {"data": {"type": "rollouts", "id": number, "attributes": {"status": "running", "retry_failed": True}}}
    product.call("PATCH", f"rollouts/{number}", document, expect=200)
    finished = wait_until(product, number, "finished")
    assert finished["counts"]["updated"] == 4
    for identity in (first, broken, *others):
        url = product.settled(identity, "active")["url"]
        assert topics(url, passwords[identity]) == ["Before"]
        product.manage("instance", "purge", identity, "--yes", "--wait")
