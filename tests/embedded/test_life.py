"""The whole life of a real OpenSlides: create, log in, stop, start, update, remove, and nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

from tests.embedded.openslides import OpenSlides
from tests.embedded.product import Product
from tests.observing import listens, processes_of


def test_a_real_openslides_lives_and_leaves_nothing(product: Product) -> None:
    created = product.create(
        "annual-assembly",
        version="3.2",
        event_name="Annual assembly 2026",
        event_location="Hall 3",
        admin_first_name="Ada",
        admin_last_name="Lovelace",
        admin_username="ada",
    )
    identity = created["id"]
    instance = product.settled(identity, "active")
    port = int(instance["url"].rstrip("/").rpartition(":")[2])
    assert OpenSlides(instance["url"]).version() == "3.2"

    # The generated passwords log in, wrong ones do not, and the factory's own password is gone.
    superadmin = OpenSlides(instance["url"])
    assert superadmin.login("admin", "wrong") == 400
    assert superadmin.login("admin", "admin") == 400
    assert superadmin.login("admin", created["superadmin_password"]) == 200
    assert superadmin.config("general_event_name") == "Annual assembly 2026"
    assert superadmin.config("general_event_location") == "Hall 3"
    ada = OpenSlides(instance["url"])
    assert ada.login("ada", created["admin_initial_password"]) == 200
    user = ada.whoami()["user"]
    assert (user["first_name"], user["last_name"]) == ("Ada", "Lovelace")

    # Something that only users of this instance know.
    superadmin.post("/rest/topics/topic/", {"title": "Budget", "text": "<p>Twelve apples</p>"})

    product.patch(identity, attributes={"state": "stopped"})
    product.settled(identity, "stopped")
    assert not listens(port)

    product.patch(identity, attributes={"state": "active"})
    product.settled(identity, "active")
    assert OpenSlides(product.instance(identity)["url"]).version() == "3.2"

    # A real update: the migrations of 3.3 run, and the data is still there.
    target = {"osversion": {"data": {"type": "osversions", "id": product.version_id("3.3")}}}
    product.patch(identity, relationships=target)
    updated = product.settled(identity, "active")
    after = OpenSlides(updated["url"])
    assert after.version() == "3.3"
    assert after.login("admin", created["superadmin_password"]) == 200
    assert after.config("general_event_name") == "Annual assembly 2026"
    assert [topic["title"] for topic in after.get("/rest/topics/topic/")] == ["Budget"]
    assert OpenSlides(updated["url"]).login("ada", created["admin_initial_password"]) == 200

    product.call("DELETE", f"instances/{identity}", expect=204)
    operation = product.wait_finished(identity)
    assert (operation["kind"], operation["status"]) == ("remove", "succeeded")
    product.call("GET", f"instances/{identity}", expect=404)
    assert not listens(port)
    # os.walk() does not mind a directory that somebody else removes in between.
    seen = (Path(where, name) for where, *both in os.walk(product.data_dir) for names in both for name in names)
    left = [path for path in seen if identity in path.name and "broker" not in path.parts]
    assert left == [product.data_dir / "backups" / identity]
    assert not [command for command in processes_of(product.data_dir).values() if identity in command]


def test_instances_do_not_disturb_each_other(product: Product) -> None:
    one = product.create("neighbour-one", event_name="One")
    two = product.create("neighbour-two", event_name="Two")
    one_url = product.settled(one["id"], "active")["url"]
    two_url = product.settled(two["id"], "active")["url"]
    first = OpenSlides(one_url)
    assert first.login("admin", one["superadmin_password"]) == 200
    assert OpenSlides(two_url).login("admin", one["superadmin_password"]) == 400
    pid = product.pid_of(one["id"])
    product.call("DELETE", f"instances/{two['id']}", expect=204)
    assert product.wait_finished(two["id"])["status"] == "succeeded"
    assert product.pid_of(one["id"]) == pid
    assert first.config("general_event_name") == "One"
    product.call("DELETE", f"instances/{one['id']}", expect=204)


def test_one_browser_stays_logged_in_to_two_instances(product: Product) -> None:
    """Cookies do not know ports (RFC 6265, section 8.5), so each instance needs a session cookie of its own name."""
    one = product.create("cookie-one", event_name="One")
    two = product.create("cookie-two", event_name="Two")
    urls = [product.settled(instance["id"], "active")["url"] for instance in (one, two)]
    browser = OpenSlides(urls[0])
    assert browser.login("admin", one["superadmin_password"]) == 200
    browser.url = urls[1].rstrip("/")
    assert browser.login("admin", two["superadmin_password"]) == 200
    browser.url = urls[0].rstrip("/")
    assert browser.config("general_event_name") == "One"
    for instance in (one, two):
        product.call("DELETE", f"instances/{instance['id']}", expect=204)
