"""Who asks."""

from __future__ import annotations

import re
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from instances import audit
from instances.models import ApiToken

REALM = "OpenSlides instances"
TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1: b64token."""


class BasicAuthentication(authentication.BasicAuthentication):
    """HTTP Basic, as the seed's client sends it with every request."""

    def authenticate_header(self, request: Request) -> str:
        """The challenges of a 401, which REST framework asks the first class for. That for tokens is the last one."""
        return f'Basic realm="{REALM}", Bearer realm="{REALM}"'

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[Any, None]:
        # PostgreSQL refuses to look for a text with NUL in it; nobody is called so.
        if "\x00" in userid or "\x00" in password:
            raise exceptions.AuthenticationFailed(_("Invalid username/password."))
        user, auth = super().authenticate_credentials(userid, password, request)
        audit.identify(user)
        return user, auth


class TokenRefused(exceptions.AuthenticationFailed):
    """``challenge``: what the token's challenge says besides (RFC 6750, section 3), in ASCII whatever the language."""

    def __init__(self, detail: str, code: str, description: str) -> None:
        super().__init__(detail, code)
        self.challenge = f', error="invalid_token", error_description="{description}"'


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """``Authorization: Bearer TOKEN`` (RFC 6750). One query and one SHA-512: a token is no password to be guessed."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        try:
            found: tuple[Any, ApiToken] | None = super().authenticate(request)
        except TokenRefused:
            raise
        except exceptions.AuthenticationFailed:
            raise TokenRefused(
                _("There is no such API token. It was deleted, or is not written as it was shown."),
                "token_unknown",
                "There is no such token",
            ) from None
        if found is not None:
            user, token = found
            audit.identify(user, token.name)
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[Any, ApiToken]:
        if not TOKEN.fullmatch(token):
            raise exceptions.AuthenticationFailed
        found: tuple[Any, ApiToken] = super().authenticate_credentials(token)
        return found

    def _cleanup_token(self, auth_token: ApiToken) -> bool:
        """knox deletes what has expired as soon as somebody comes with it. Ours are kept, to tell why
        (``tokens.prune``)."""
        return False

    def validate_user(self, auth_token: ApiToken) -> tuple[Any, ApiToken]:
        """Of a token whose secret is known to be right."""
        if auth_token.is_expired:
            when = f"{localtime(auth_token.expiry):%Y-%m-%d %H:%M}"
            raise TokenRefused(
                _("This API token has expired (%(when)s). Make a new one.") % {"when": when},
                "token_expired",
                "The token has expired",
            )
        if not auth_token.user.is_active:
            raise TokenRefused(
                _("The account of this API token is disabled."), "account_disabled", "The account is disabled"
            )
        return auth_token.user, auth_token
