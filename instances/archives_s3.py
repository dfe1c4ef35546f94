"""A backup store in an S3-compatible object store, over the connection of django-storages (boto3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from deployers.backups.folder import FACTS, HashingWriter
from deployers.backups.store import ArchiveFacts, Room
from deployers.errors import ArchiveMissing, StoreFailed

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 << 20
"""Of the first parts. S3 takes 5 MiB to 5 GiB for each but the last."""
PARTS_OF_ONE_SIZE = 500
"""S3 takes 10,000 parts at most, so they grow: 500 of 8 MiB, 500 of 16 MiB, …; the 5,000th ends at 4 TB."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
TRIES = 3
"""A store that cannot be reached is given up after a quarter of a minute, one that stops in the middle after one and a
half. A part that is sent takes as long as it takes: each piece of it has its own time."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where archives lie: objects whose names begin with ``prefix``."""

    storage: S3Storage
    name: str
    prefix: str

    @property
    def client(self) -> S3Client:
        """Of this thread: boto3's resources are not made for more."""
        return cast("S3Client", self.storage.connection.meta.client)


def bucket(name: str, prefix: str, endpoint: str, region: str, access_key: str, secret_key: str) -> Bucket:
    """Empty texts are boto3's defaults: Amazon, and keys from its own files, environment and machine roles."""
    options = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"max_attempts": TRIES, "mode": "standard"},
        # A store of one's own has seldom a host name for each bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Stores other than Amazon's do not know the checksums that boto3 sends since 1.36 unless it is told not to.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    storage = S3Storage(
        bucket_name=name,
        endpoint_url=endpoint or None,
        region_name=region or None,
        access_key=access_key or None,
        secret_key=secret_key or None,
        client_config=options,
    )
    return Bucket(storage, name, prefix.strip("/") + "/" if prefix.strip("/") else "")


@dataclass(frozen=True, slots=True)
class S3Store:
    """Archives as objects; beside each its size and SHA-256 as ``NAME.json``.

    An archive is sent in parts, and S3 makes an object of them when all are there: it is there as a whole or not at
    all.
    """

    bucket: Bucket

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        self.delete(name)
        upload = _Upload(self.bucket, self._key(name))
        try:
            writer = HashingWriter(cast(BinaryIO, upload))
            yield cast(BinaryIO, writer)
            upload.send_rest()
            facts = writer.facts
            with _failures():
                self.bucket.client.put_object(
                    Bucket=self.bucket.name,
                    Key=self._key(name) + FACTS,
                    Body=json.dumps({"size": facts.size, "sha256": facts.sha256}).encode(),
                )
            upload.complete()
        except BaseException:
            # Whatever keeps it from being tidied, too: the next write of the same name, or its deletion, does it.
            with _ignored():
                self.delete(name)
            raise

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        try:
            with _failures():
                body = self.bucket.client.get_object(Bucket=self.bucket.name, Key=self._key(name))["Body"]
        except _NoSuchObject:
            raise ArchiveMissing(name) from None
        try:
            yield cast(BinaryIO, _Download(cast(BinaryIO, body)))
        finally:
            body.close()

    def facts(self, name: str) -> ArchiveFacts | None:
        client, key = self.bucket.client, self._key(name)
        try:
            with _failures():
                # First the one whose answer tells a bucket that is missing from an object that is.
                beside = client.get_object(Bucket=self.bucket.name, Key=key + FACTS)["Body"].read()
                size = client.head_object(Bucket=self.bucket.name, Key=key)["ContentLength"]
            known = json.loads(beside)
            return ArchiveFacts(size, str(known["sha256"])) if known["size"] == size else None
        except (_NoSuchObject, ValueError, KeyError, TypeError):
            return None

    def delete(self, name: str) -> None:
        client, key = self.bucket.client, self._key(name)
        with _failures():
            client.delete_object(Bucket=self.bucket.name, Key=key)
            client.delete_object(Bucket=self.bucket.name, Key=key + FACTS)
            for other, upload_id in self._uploads(key):
                if other == key:
                    client.abort_multipart_upload(Bucket=self.bucket.name, Key=key, UploadId=upload_id)

    def names(self) -> list[str]:
        with _failures():
            pages = self.bucket.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket.name, Prefix=self.bucket.prefix
            )
            keys = {each["Key"] for page in pages for each in page.get("Contents", ())}
            keys |= {key for key, _ in self._uploads(self.bucket.prefix)}
        return sorted({key.removeprefix(self.bucket.prefix).removesuffix(FACTS) for key in keys})

    def room(self) -> Room | None:
        return None

    def _uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Key and upload id of what was begun and never completed."""
        pages = self.bucket.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket.name, Prefix=prefix
        )
        return [(each["Key"], each["UploadId"]) for page in pages for each in page.get("Uploads", ())]

    def _key(self, name: str) -> str:
        return self.bucket.prefix + name


class _Upload:
    """Sends what is written to it in parts; it holds one part, not more."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.bucket = bucket
        self.key = key
        self._rest = bytearray()
        self._sent: list[CompletedPartTypeDef] = []
        with _failures():
            self._id = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]

    def write(self, data: bytes) -> int:
        self._rest += data
        size = PART_BYTES << min(len(self._sent) // PARTS_OF_ONE_SIZE, 8)
        if len(self._rest) >= size:
            self.send_rest()
        return len(data)

    def send_rest(self) -> None:
        """Send what was not sent yet. An upload without any part cannot be completed, so an empty one has one."""
        if self._sent and not self._rest:
            return
        number = len(self._sent) + 1
        with _failures():
            answer = self.bucket.client.upload_part(
                Bucket=self.bucket.name,
                Key=self.key,
                UploadId=self._id,
                PartNumber=number,
                Body=self._rest,  # type: ignore[arg-type]  # botocore takes a bytearray, too
            )
        self._sent.append({"ETag": answer["ETag"], "PartNumber": number})
        self._rest = bytearray()

    def complete(self) -> None:
        with _failures():
            self.bucket.client.complete_multipart_upload(
                Bucket=self.bucket.name, Key=self.key, UploadId=self._id, MultipartUpload={"Parts": self._sent}
            )


class _Download:
    """What is read from the network, with our own errors."""

    def __init__(self, body: BinaryIO) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        with _failures():
            return self._body.read(None if size < 0 else size)  # type: ignore[arg-type]


class _NoSuchObject(StoreFailed):
    """There is no object with this key."""


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        # HEAD has no body, so its code is the HTTP status.
        kind = _NoSuchObject if code in ("NoSuchKey", "404", "NoSuchUpload") else StoreFailed
        raise kind(str(error)) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StoreFailed(str(error)) from error


@contextmanager
def _ignored() -> Iterator[None]:
    try:
        yield
    except StoreFailed:
        return
