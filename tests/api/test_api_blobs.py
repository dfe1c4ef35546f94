"""blobs: pictures are uploaded as the seed took them, and are checked by their content."""

from __future__ import annotations

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from instances.models import Blob
from instances.pictures import MAX_PICTURE_BYTES
from tests.api.client import JSON_API, LEGACY, Api
from tests.factories import make_blob, png


def upload(api: Api, content: bytes, name: str = "logo.png", field: str = "file", path: str = "/blobs") -> Any:
    file = SimpleUploadedFile(name, content, content_type="image/png")
    return api.client.post(f"/api{path}", {field: file}, headers={**api.headers, "accept": LEGACY})


def picture(kind: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """The head of a PNG of so many pixels each way, and next to nothing in it."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\x00" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@pytest.mark.parametrize("path", ["/blobs", "/blobs/"])
def test_a_picture_is_kept_and_given_back(api: Api, path: str) -> None:
    answer = upload(api, png(), path=path)
    assert answer.status_code == 201
    assert answer["Content-Type"] == "application/json"
    found = json.loads(answer.content)
    assert set(found) == {"blobId"}
    assert len(found["blobId"]) == 20
    assert found["blobId"].isalnum()
    for slash in ("", "/"):
        given: Any = api.call("GET", f"/blobs/{found['blobId']}{slash}", accept="image/avif,image/*", expect=200)
        assert given["Content-Type"] == "image/png"
        assert given["X-Content-Type-Options"] == "nosniff"
        assert b"".join(given.streaming_content) == png()


def test_the_name_that_the_browser_sent_is_not_used(api: Api, pictures: Path) -> None:
    answer = upload(api, png(), name="../../evil.html")
    kept = [path.relative_to(pictures).as_posix() for path in pictures.rglob("*") if path.is_file()]
    assert kept == [f"blobs/{json.loads(answer.content)['blobId']}.png"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg onload='alert(1)'/>",
        b"<html>",
        picture("JPEG"),
        picture("GIF"),
        png()[:-30],
        png()[:40] + b"\x00" * 40,
        png().replace(b"IDAT", b"IDAX"),
        bomb(30_000),
        bomb(5_000),
        bomb(0),
    ],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_picture_of_a_bearable_size_is_refused(api: Api, content: bytes) -> None:
    answer = upload(api, content)
    assert answer.status_code == 422, answer.content
    assert answer["Content-Type"] == JSON_API
    assert json.loads(answer.content)["errors"][0]["detail"]
    assert not Blob.objects.exists()


def test_a_file_that_is_too_large_is_refused(api: Api) -> None:
    for size in (MAX_PICTURE_BYTES + 1, 2 * MAX_PICTURE_BYTES):
        answer = upload(api, png() + b"\x00" * size)
        assert answer.status_code == 413
    assert not Blob.objects.exists()


def test_a_form_without_the_file_is_refused(api: Api) -> None:
    assert upload(api, png(), field="picture").status_code == 422
    answer = api.client.post("/api/blobs", {"file": "a text"}, headers=api.headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 422),
        ("image/png", png(), 415),
        (JSON_API, b"{}", 415),
        ("multipart/form-data; boundary=x", b"", 422),
    ],
)
def test_what_is_no_form_is_refused(api: Api, content_type: str, body: bytes, status: int) -> None:
    answer = api.call("POST", "/blobs", body=body, content_type=content_type, expect=status)
    assert json.loads(answer.content)["errors"][0]["status"] == str(status)


def test_a_picture_whose_file_is_gone_is_not_found(api: Api) -> None:
    blob = make_blob()
    Path(blob.file.path).unlink()
    api.get(f"/blobs/{blob.pk}", expect=404)
