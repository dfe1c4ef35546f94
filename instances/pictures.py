"""What is taken as a picture."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from PIL import Image

MAX_PICTURE_BYTES = 5 * 1024 * 1024
MAX_PICTURE_PIXELS = 4096 * 4096


def check_png(file: UploadedFile[Any]) -> None:
    """By the content; neither the name nor the type that the browser sent is asked.

    Raises ValidationError, with the code ``too_large`` for a file of more than MAX_PICTURE_BYTES.
    """
    if file.size is None or file.size > MAX_PICTURE_BYTES:
        raise ValidationError(too_large_text(), code="too_large")
    try:
        with Image.open(file, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise ValidationError(
                    _("The picture has %(width)s × %(height)s pixels. Make it smaller: 4096 × 4096 at most.")
                    % {"width": picture.width, "height": picture.height},
                    code="too_many_pixels",
                )
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # Pillow: SyntaxError and ValueError are a broken file's, OSError a truncated or an unknown one's.
        raise ValidationError(_("This is no PNG picture, or a broken one. Send a PNG file."), code="no_png") from None
    file.seek(0)


def too_large_text() -> str:
    """What is said of a picture that is too large."""
    return _("The picture is larger than %(megabytes)s MB.") % {"megabytes": MAX_PICTURE_BYTES // 1024**2}
