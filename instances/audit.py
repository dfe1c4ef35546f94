"""Who did what, besides operations and changes of rows: what leaves the product."""

from __future__ import annotations

import logging

from django.db.models import Model
from django.http import HttpRequest

logger = logging.getLogger(__name__)


def note(subject: Model, action: str, request: HttpRequest) -> None:
    """Write down that the user of ``request`` has done ``action`` (a word like "downloaded") to ``subject``."""
    address = request.META.get("REMOTE_ADDR", "")
    logger.info("%s (%s) was %s by %s from %s.", subject, subject.pk, action, request.user, address)
