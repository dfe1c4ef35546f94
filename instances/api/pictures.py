"""What is taken as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from PIL import Image
from rest_framework.parsers import DataAndFiles, MultiPartParser

from instances.api.errors import Invalid, TooLarge

MAX_PICTURE_BYTES = 5 * 1024 * 1024
MAX_PICTURE_PIXELS = 4096 * 4096
FORM_BYTES = 64 * 1024
"""What a form may add to the picture: boundaries, names, other fields."""


class PictureParser(MultiPartParser):
    """A form of a bearable size. Raises TooLarge before anything is read."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles[Any, Any]:
        assert parser_context is not None
        if int(parser_context["request"].META["CONTENT_LENGTH"]) > MAX_PICTURE_BYTES + FORM_BYTES:
            raise _too_large()
        return super().parse(stream, media_type, parser_context)


def check_png(file: UploadedFile[Any]) -> None:
    """By the content; neither the name nor the type that the browser sent is asked. Raises Invalid, TooLarge."""
    if file.size is None or file.size > MAX_PICTURE_BYTES:
        raise _too_large()
    try:
        with Image.open(file, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise Invalid(
                    _("The picture has %(width)s × %(height)s pixels. Make it smaller: 4096 × 4096 at most.")
                    % {"width": picture.width, "height": picture.height},
                    parameter="file",
                )
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # Pillow: SyntaxError and ValueError are a broken file's, OSError a truncated or an unknown one's.
        raise Invalid(_("This is no PNG picture, or a broken one. Send a PNG file."), parameter="file") from None
    file.seek(0)


def _too_large() -> TooLarge:
    return TooLarge(_("The picture is larger than %(megabytes)s MB.") % {"megabytes": MAX_PICTURE_BYTES // 1024**2})
