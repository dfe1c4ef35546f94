"""Takes uploaded pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import DataAndFiles, MultiPartParser

from instances.api.errors import TooLarge
from instances.pictures import MAX_PICTURE_BYTES, too_large_text

FORM_BYTES = 64 * 1024
"""What a form may add to the picture: boundaries, names, other fields."""


class PictureParser(MultiPartParser):
    """A form of a bearable size. Raises TooLarge before anything is read."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles[Any, Any]:
        assert parser_context is not None
        if int(parser_context["request"].META["CONTENT_LENGTH"]) > MAX_PICTURE_BYTES + FORM_BYTES:
            raise TooLarge(too_large_text())
        return super().parse(stream, media_type, parser_context)
