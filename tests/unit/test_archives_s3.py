"""Backups in an S3-compatible store: moto's server, which speaks S3 over HTTP on a loopback port."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deployers.backups import archive as tar
from deployers.backups.archive import Manifest
from deployers.backups.folder import FolderStore
from deployers.backups.store import Archive
from deployers.errors import ArchiveDamaged, ArchiveMissing, StoreFailed
from instances import archives, archives_s3
from instances.archives_s3 import S3Store, bucket

NAME = "a/2026-11-23T10-00-00Z-manual-0123abcd.tar"
KEYS = {"access_key": "key", "secret_key": "very-secret"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def client(endpoint: str) -> Any:
    """An empty bucket named backups, seen from outside."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="backups")
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="backups"):
        for each in page.get("Contents", ()):
            client.delete_object(Bucket="backups", Key=each["Key"])
    for each in client.list_multipart_uploads(Bucket="backups").get("Uploads", ()):
        client.abort_multipart_upload(Bucket="backups", Key=each["Key"], UploadId=each["UploadId"])
    client.delete_bucket(Bucket="backups")


@pytest.fixture
def store(endpoint: str, client: Any) -> S3Store:
    return S3Store(bucket("backups", "openslides", endpoint, "us-east-1", **KEYS))


def test_what_was_written_is_read(store: S3Store, client: Any) -> None:
    content = os.urandom((20 << 20) + 17)
    with store.write(NAME) as stream:
        for start in range(0, len(content), 1 << 20):
            stream.write(content[start : start + (1 << 20)])
    with store.read(NAME) as stream:
        assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == content
    facts = store.facts(NAME)
    assert facts is not None
    assert (facts.size, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert store.names() == [NAME]
    keys = [each["Key"] for each in client.list_objects_v2(Bucket="backups")["Contents"]]
    assert keys == [f"openslides/{NAME}", f"openslides/{NAME}.json"]
    assert client.head_object(Bucket="backups", Key=keys[0])["ETag"].endswith('-3"')  # in three parts
    store.delete(NAME)
    store.delete(NAME)
    assert store.names() == []
    assert store.facts(NAME) is None


def test_one_that_is_written_again_is_replaced(store: S3Store) -> None:
    for content in (b"first", b""):
        with store.write(NAME) as stream:
            stream.write(content)
    facts = store.facts(NAME)
    assert facts is not None
    assert facts.size == 0
    with store.read(NAME) as stream:
        assert stream.read() == b""


def test_what_fails_in_the_middle_leaves_nothing(store: S3Store, client: Any) -> None:
    def cut_off() -> None:
        with store.write(NAME) as stream:
            stream.write(b"x" * (9 << 20))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cut_off()
    assert store.names() == []
    assert "Uploads" not in client.list_multipart_uploads(Bucket="backups")
    with pytest.raises(ArchiveMissing), store.read(NAME):
        pass


def test_what_a_killed_writer_left_is_seen_and_goes(store: S3Store, client: Any, endpoint: str) -> None:
    script = (
        "import os, sys; from instances.archives_s3 import S3Store, bucket\n"
        "store = S3Store(bucket('backups', 'openslides', sys.argv[1], 'us-east-1', 'key', 'very-secret'))\n"
        f"with store.write({NAME!r}) as stream: stream.write(b'x' * (9 << 20)); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, endpoint], check=False).returncode == -9
    assert store.names() == [NAME]
    assert store.facts(NAME) is None
    other = "a/other.tar"
    with store.write(other) as stream:
        stream.write(b"whole")
    assert client.list_multipart_uploads(Bucket="backups")["Uploads"]
    store.delete(NAME)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="backups")
    assert store.names() == [other]


def test_an_archive_goes_through_it_and_damage_is_found(store: S3Store, client: Any) -> None:
    archive = Archive(store, NAME)
    with tar.writing(archive) as writer:
        writer.manifest(Manifest(1, "a" * 32, "slug", "example.org", "3.3", "3.3", "", "sqlite", "", ""))
        writer.text("database", "rows " * 1000)
    assert tar.extract(archive, None, None).slug == "slug"
    key = f"openslides/{NAME}"
    content = client.get_object(Bucket="backups", Key=key)["Body"].read()
    client.put_object(Bucket="backups", Key=key, Body=content.replace(b"rows rows", b"rows sows", 1))
    with pytest.raises(ArchiveDamaged):
        tar.extract(archive, None, None)
    client.put_object(Bucket="backups", Key=key, Body=content[:-512])
    assert store.facts(NAME) is None


def test_a_store_that_cannot_be_used_says_why_and_no_secret(endpoint: str) -> None:
    missing = S3Store(bucket("no-such-bucket", "", endpoint, "us-east-1", **KEYS))
    with pytest.raises(StoreFailed, match="NoSuchBucket"), missing.write(NAME):
        pass
    with pytest.raises(StoreFailed, match="NoSuchBucket"):
        missing.facts(NAME)
    with pytest.raises(StoreFailed) as failed:
        missing.names()
    assert "very-secret" not in str(failed.value)


def test_a_store_that_does_not_answer_fails() -> None:
    away = S3Store(bucket("backups", "", "http://127.0.0.1:9", "us-east-1", **KEYS))
    with pytest.raises(StoreFailed, match="connect"):
        away.names()


def test_the_settings_name_the_store(settings: Any, tmp_path: Any, endpoint: str, client: Any) -> None:
    settings.BACKUP_DIR = tmp_path
    assert archives.store() == FolderStore(tmp_path)
    settings.BACKUP_S3_BUCKET, settings.BACKUP_S3_ENDPOINT, settings.BACKUP_S3_REGION = "backups", endpoint, "us-east-1"
    settings.BACKUP_S3_ACCESS_KEY, settings.BACKUP_S3_SECRET_KEY = "key", "very-secret"
    with archives.store().write(NAME) as stream:
        stream.write(b"x")
    assert [each["Key"] for each in client.list_objects_v2(Bucket="backups")["Contents"]] == [NAME, f"{NAME}.json"]


def test_without_its_library_it_says_what_to_install(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "instances.archives_s3", None)
    archives._s3_store.cache_clear()
    settings.BACKUP_S3_BUCKET = "backups"
    with pytest.raises(StoreFailed, match=r"requirements/production\.txt"):
        archives.store()


def test_a_large_file_never_fills_the_memory(client: Any, endpoint: str) -> None:
    """200 MB by a process that may not have more than 100 MB of address space more than it has at first."""
    script = """
import resource, sys
from pathlib import Path
from instances.archives_s3 import S3Store, bucket
store = S3Store(bucket('backups', 'openslides', sys.argv[1], 'us-east-1', 'key', 'very-secret'))
store.names()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)
block = bytes(1 << 20)
with store.write('large.tar') as stream:
    for _ in range(200):
        stream.write(block)
count = 0
with store.read('large.tar') as stream:
    while data := stream.read(1 << 20):
        count += len(data)
print(count)
"""
    done = subprocess.run([sys.executable, "-c", script, endpoint], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == 200 << 20


def test_a_store_that_takes_the_connection_and_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives_s3, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store(bucket("backups", "", endpoint, "us-east-1", **KEYS))
        began = time.monotonic()
        with pytest.raises(StoreFailed, match="timeout"):
            store.facts(NAME)
    assert time.monotonic() - began < 30
