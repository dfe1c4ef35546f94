"""What may be typed into a field, said where it is typed."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils import timezone
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy as _

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z"
"""RFC 1123, section 2.1, in lower case. \\Z and not $, which also matches before a final line break."""

DOMAIN_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z"

validate_slug = RegexValidator(
    DNS_LABEL,
    _("Use 1 to 63 lower case letters (a-z), digits and hyphens, with no hyphen at the beginning or the end."),
    code="invalid_slug",
)
validate_domain = RegexValidator(
    DOMAIN_NAME,
    _("Enter a domain name in lower case, like assembly.example.org, without https:// and without a path."),
    code="invalid_domain",
)


@deconstructible
class SingleLine:
    """Refuses line breaks and other control characters (Unicode category Cc, Cs; U+2028 and U+2029)."""

    def __call__(self, value: str) -> None:
        for character in value:
            if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
                raise ValidationError(
                    _("Write it on one line, without control characters (there is a %(name)s)."),
                    code="control_character",
                    params={"name": _name_of(character)},
                )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SingleLine)

    def __hash__(self) -> int:
        return hash(SingleLine)


def _name_of(character: str) -> str:
    return {"\n": "line break", "\r": "line break", "\t": "tabulator"}.get(character, f"U+{ord(character):04X}")


validate_single_line = SingleLine()

PYPI_IMAGE = re.compile(r"^pypi:openslides==(?P<release>\d+(\.\d+)+)\Z")
CONTAINER_IMAGE = re.compile(r"^(docker://)?[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z")
"""Begins with a letter or digit: an image name can never be read as an option."""


def validate_image(value: str) -> None:
    """Either ``pypi:openslides==X.Y`` or the reference of a container image."""
    if value.startswith("pypi:"):
        if not PYPI_IMAGE.match(value):
            raise ValidationError(_("Write it like pypi:openslides==3.3."), code="invalid_image")
    elif not CONTAINER_IMAGE.match(value):
        raise ValidationError(
            _("Enter pypi:openslides==3.3, or the reference of a container image such as localhost/openslides:3.3."),
            code="invalid_image",
        )


FARTHEST = timedelta(days=3660)
"""Whoever types a later one has mistyped the year."""


def validate_to_come(moment: datetime) -> None:
    """When something shall begin that is postponed. Raises ValidationError."""
    ahead = moment - timezone.now()
    if ahead <= timedelta():
        raise ValidationError(_("This time is over. Name a time to come."), code="past")
    if ahead > FARTHEST:
        raise ValidationError(_("This is more than ten years away. Name an earlier time."), code="far")
