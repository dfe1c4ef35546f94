"""API tokens: how they are made, and when they are forgotten."""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from knox.models import get_digest_token
from knox.settings import CONSTANTS

from instances.models import ApiToken

DEFAULT_DAYS = 365
MOST_DAYS = 3650
LISTED_DAYS = 30
"""So long an expired one is kept: its owner finds it on the list, and its client is told why it is refused."""


def check_days(days: int | None) -> None:
    """Raises ValidationError, at ``days``."""
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise ValidationError({"days": _("A token is valid for 1 to %(most)d days.") % {"most": MOST_DAYS}})


def issue(token: ApiToken, days: int | None) -> str:
    """Save a new token, and give its secret, which is kept nowhere.

    ``token``: with its user and its name, which were checked (``full_clean``). ``days``: how long it is valid; None:
    until it is deleted.
    """
    check_days(days)
    secret: str
    token.digest, secret = get_digest_token()
    token.token_key = secret[: CONSTANTS.TOKEN_KEY_LENGTH]
    token.expiry = None if days is None else timezone.now().replace(microsecond=0) + timedelta(days=days)
    token.save()
    return secret


def prune() -> None:
    """Delete those that have expired, LISTED_DAYS later."""
    ApiToken.objects.filter(expiry__lt=timezone.now() - timedelta(days=LISTED_DAYS)).delete()
