"""Backups of a real OpenSlides, through the running product: restored, cloned, downloaded, brought back, purged."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from io import BytesIO
from typing import Any

from tests.embedded.openslides import OpenSlides
from tests.embedded.product import Product
from tests.observing import wait_for


def topics(url: str, password: str) -> list[str]:
    openslides = OpenSlides(url)
    assert openslides.login("admin", password) == 200
    return sorted(topic["title"] for topic in openslides.get("/rest/topics/topic/"))


def add_topic(url: str, password: str, title: str) -> None:
    openslides = OpenSlides(url)
    assert openslides.login("admin", password) == 200
    openslides.post("/rest/topics/topic/", {"title": title, "text": ""})


def of_instance(identity: str) -> dict[str, Any]:
    relation = {"instance": {"data": {"type": "instances", "id": identity}}}
    return {"data": {"type": "backups", "relationships": relation}}


def backups(product: Product, query: str) -> list[dict[str, Any]]:
    found = product.call("GET", f"backups?{query}", expect=200)["data"]
    return [{"id": one["id"], **one["attributes"]} for one in found]


def test_what_is_backed_up_can_be_had_again_in_every_way(product: Product) -> None:
    created = product.create("kept", event_name="Kept")
    identity, password = created["id"], created["superadmin_password"]
    url = product.settled(identity, "active")["url"]
    add_topic(url, password, "Before")

    number = product.call("POST", "backups", of_instance(identity), expect=201)["data"]["id"]
    assert product.wait_finished(identity)["status"] == "succeeded"
    (backup,) = backups(product, f"filter[instance]={identity}")
    assert (backup["id"], backup["complete"], backup["reason"], backup["expires_at"]) == (number, True, "manual", None)
    # It was made while OpenSlides went on.
    add_topic(url, password, "After")

    # The archive, as it is downloaded, is what was written, and holds the database.
    answer = product.session.get(f"{product.url}/api/backups/{number}/archive", headers={"Accept": "*/*"}, timeout=120)
    assert answer.status_code == 200
    assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (backup["size"], backup["sha256"])
    with tarfile.open(fileobj=BytesIO(answer.content)) as archive:
        assert {"manifest.json", "database", "checksums.json"} <= set(archive.getnames())
    assert password.encode() not in answer.content

    # A verification restores it for real.
    product.manage("backup", "verify", number, "--wait")
    (backup,) = backups(product, f"filter[instance]={identity}")
    assert (backup["problem"], backup["verified_at"] is None) == ("", False)

    # A clone of the backup, and one of the present data.
    for slug, source, expected in (
        ("clone-of-backup", f"backups/{number}", ["Before"]),
        ("clone-of-instance", f"instances/{identity}", ["After", "Before"]),
    ):
        document = {"data": {"type": "instances", "attributes": {"slug": slug}}}
        clone = product.call("POST", f"{source}/clone", document, expect=201)["data"]["id"]
        assert topics(product.settled(clone, "active")["url"], password) == expected
        product.manage("instance", "purge", slug, "--yes", "--wait")
        product.call("GET", f"instances/{clone}", expect=404)

    # In the place of the present data; which were backed up before, so one can go back to them.
    product.settled(identity, "active")
    product.call("POST", f"backups/{number}/restore", expect=202)
    assert topics(product.settled(identity, "active")["url"], password) == ["Before"]
    safety = backups(product, f"filter[instance]={identity}&filter[reason]=restore")[0]
    assert safety["complete"]
    assert safety["expires_at"] is not None
    product.manage("backup", "restore", safety["id"], "--yes", "--wait")
    assert topics(product.settled(identity, "active")["url"], password) == ["After", "Before"]

    # Removed, and brought back under its name with its last backup.
    product.call("DELETE", f"instances/{identity}", expect=204)
    assert product.wait_finished(identity)["status"] == "succeeded"
    assert backups(product, "filter[removed]=true&sort=-id")[0]["reason"] == "remove"
    product.call("POST", f"instances/{identity}/bring-back", expect=202)
    assert topics(product.settled(identity, "active")["url"], password) == ["After", "Before"]

    # A backup that is deleted takes its archive along; a purge takes all.
    store = product.data_dir / "backups" / identity
    before = len(list(store.glob("*.tar")))
    product.call("DELETE", f"backups/{number}", expect=204)
    assert len(list(store.glob("*.tar"))) == before - 1
    product.manage("instance", "purge", "kept", "--yes", "--wait")
    assert not store.exists()
    assert backups(product, f"filter[instance]={identity}") == []


def test_a_scheduled_backup_is_made_by_itself(product: Product) -> None:
    created = product.create("scheduled", event_name="Scheduled", backup_hours=6)
    identity = created["id"]
    product.settled(identity, "active")
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", "from instances.tasks import look_after_backups as f; f.delay()"],
        env=product.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr

    wait_for("a scheduled backup", lambda: backups(product, f"filter[instance]={identity}&filter[complete]=true"), 300)
    (backup,) = backups(product, f"filter[instance]={identity}")
    assert backup["reason"] == "scheduled"
    product.manage("instance", "purge", "scheduled", "--yes", "--wait")
