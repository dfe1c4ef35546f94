"""Who asks."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from instances import audit


class BasicAuthentication(authentication.BasicAuthentication):
    """HTTP Basic, as the seed's client sends it with every request."""

    www_authenticate_realm = "OpenSlides instances"

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[Any, None]:
        # PostgreSQL refuses to look for a text with NUL in it; nobody is called so.
        if "\x00" in userid or "\x00" in password:
            raise exceptions.AuthenticationFailed(_("Invalid username/password."))
        user, auth = super().authenticate_credentials(userid, password, request)
        audit.identify(user)
        return user, auth
