"""An archive as the answer to a request: streamed from the store, never in memory as a whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from instances import archives
from instances.models import Backup

CHUNK_BYTES = 1 << 18
CONTENT_TYPE = "application/x-tar"


class _Chunks(Iterator[bytes]):
    """Ends the reading also when the client goes away: Django closes what it streams."""

    def __init__(self, backup: Backup) -> None:
        """Raises ArchiveMissing, StoreFailed."""
        self._stack = ExitStack()
        self._stream: BinaryIO = self._stack.enter_context(archives.store().read(backup.name))

    def __next__(self) -> bytes:
        data = self._stream.read(CHUNK_BYTES)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        self._stack.close()


def archive_response(backup: Backup, request: HttpRequest) -> HttpResponseBase:
    """The complete backup's archive, with its length and SHA-256. Raises ArchiveMissing, StoreFailed."""
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(backup.size),
        "Content-Disposition": content_disposition_header(True, file_name(backup)) or "",
        # RFC 9530
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(backup.sha256)).decode()}:",
        "Cache-Control": "no-store",
    }
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(_Chunks(backup), headers=headers)


def file_name(backup: Backup) -> str:
    """What the archive is called on the disk of whoever downloads it."""
    return f"{backup.instance}-{backup.created_at:%Y-%m-%dT%H-%M-%SZ}.tar"
