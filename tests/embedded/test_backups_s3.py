"""The same with an S3-compatible store instead of a folder: moto's server, which speaks S3 over HTTP on loopback."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.embedded.conftest import take_away
from tests.embedded.product import Product
from tests.embedded.test_backups import add_topic, backups, of_instance, topics
from tests.observing import free_port, processes_of, wait_for

SECRET = "a-secret-key-of-the-store"


class ObjectStore:
    """One bucket, at an address that stays while it is down."""

    def __init__(self) -> None:
        self.port = free_port()
        self.server: ThreadedMotoServer | None = None
        self.up()
        self.client.create_bucket(Bucket="archives")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": SECRET}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **keys)

    def up(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def down(self) -> None:
        """What it holds stays: that is in this process's memory."""
        assert self.server is not None
        self.server.stop()
        self.server = None

    def names(self) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket="archives").get("Contents", ())]


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    made = ObjectStore()
    yield made
    if made.server is not None:
        made.down()


@pytest.fixture
def product_with_s3(bucket: ObjectStore, make_product: type[Product]) -> Iterator[Product]:
    settings = {
        "BACKUP_S3_BUCKET": "archives",
        "BACKUP_S3_ENDPOINT": bucket.endpoint,
        "BACKUP_S3_REGION": "us-east-1",
        "BACKUP_S3_PREFIX": "of-this-installation",
        "BACKUP_S3_ACCESS_KEY": "key",
        "BACKUP_S3_SECRET_KEY": SECRET,
        "REFRESH_SECONDS": "2",
    }
    made = make_product(settings)  # type: ignore[arg-type]
    made.start()
    made.manage("version", "prepare", "3.3", "--wait")
    yield made
    assert not take_away(made)


def test_backups_lie_in_the_store_and_come_back_from_it(product_with_s3: Product, bucket: ObjectStore) -> None:
    product = product_with_s3
    created = product.create("far-away", event_name="Far away")
    identity, password = created["id"], created["superadmin_password"]
    url = product.settled(identity, "active")["url"]
    add_topic(url, password, "Before")

    number = product.call("POST", "backups", of_instance(identity), expect=201)["data"]["id"]
    assert product.wait_finished(identity)["status"] == "succeeded"
    (backup,) = backups(product, f"filter[instance]={identity}")
    assert backup["complete"]
    assert [name for name in bucket.names() if not name.startswith("of-this-installation/")] == []
    assert not (product.data_dir / "backups").exists()
    answer = product.session.get(f"{product.url}/api/backups/{number}/archive", headers={"Accept": "*/*"}, timeout=120)
    assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (backup["size"], backup["sha256"])
    product.manage("backup", "verify", number, "--wait")

    # Restored, cloned, removed and brought back.
    add_topic(url, password, "After")
    product.call("POST", f"backups/{number}/restore", expect=202)
    assert topics(product.settled(identity, "active")["url"], password) == ["Before"]
    document = {"data": {"type": "instances", "attributes": {"slug": "copied"}}}
    clone = product.call("POST", f"instances/{identity}/clone", document, expect=201)["data"]["id"]
    assert topics(product.settled(clone, "active")["url"], password) == ["Before"]
    product.call("DELETE", f"instances/{identity}", expect=204)
    assert product.wait_finished(identity)["status"] == "succeeded"
    product.call("POST", f"instances/{identity}/bring-back", expect=202)
    assert topics(product.settled(identity, "active")["url"], password) == ["Before"]

    # The store is away: nothing is lost, nothing half-made stays, and the error says what it is.
    bucket.down()
    document = of_instance(identity)
    product.call("POST", "backups", document, expect=201)
    operation = product.wait_finished(identity)
    assert operation["status"] == "failed"
    assert "backup store" in operation["error"]
    assert SECRET not in str(operation)
    answer = product.session.get(f"{product.url}/api/backups/{number}/archive", headers={"Accept": "*/*"}, timeout=120)
    assert answer.status_code == 503, answer.text
    assert SECRET not in answer.text
    product.call("DELETE", f"instances/{identity}", expect=204)
    operation = product.wait_finished(identity)
    assert (operation["kind"], operation["status"]) == ("remove", "failed")
    # It is there again: the removal is done now, with its backup.
    bucket.up()
    wait_for("its removal", lambda: is_removed(product, identity), every=1)
    # The rows of what was tried in vain say that they are not complete, until the store is asked again (10 minutes).
    found = backups(product, f"filter[instance]={identity}&filter[complete]=true")
    assert {one["reason"] for one in found} >= {"manual", "remove"}
    assert len(found) == len([name for name in bucket.names() if identity in name and name.endswith(".tar")])
    product.call("POST", f"instances/{identity}/bring-back", expect=202)
    assert topics(product.settled(identity, "active")["url"], password) == ["Before"]

    # A purge leaves nothing, and nobody was told the store's secret.
    for slug in ("far-away", "copied"):
        product.manage("instance", "purge", slug, "--yes", "--wait")
    assert bucket.names() == []
    said = product.output() + "".join(path.read_text() for path in (product.data_dir / "log").glob("*.log"))
    assert SECRET not in said
    assert SECRET not in " ".join(arguments(product.data_dir))


def is_removed(product: Product, identity: str) -> bool:
    """Asked for again until it is: a removal that goes on is no error, and one that failed begins anew."""
    answer = product.session.delete(f"{product.url}/api/instances/{identity}", timeout=120)
    return answer.status_code == 404


def arguments(directory: Path) -> list[str]:
    """What ps(1) shows of the product's processes."""
    return [
        Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for pid in processes_of(directory)
        if os.path.exists(f"/proc/{pid}/cmdline")
    ]
