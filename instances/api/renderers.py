"""Which format a client gets. The content is the same JSON:API document in all of them."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework_json_api.renderers import JSONRenderer

LEGACY_MEDIA_TYPE = "application/vnd.app+json"


class JsonApiRenderer(JSONRenderer):  # type: ignore[misc]
    """JSON:API under its own name."""


class LegacyRenderer(JSONRenderer):  # type: ignore[misc]
    """For clients that ask for the type as the seed's client writes it."""

    media_type = LEGACY_MEDIA_TYPE
    format = "vnd.app+json"


class PlainJsonRenderer(JSONRenderer):  # type: ignore[misc]
    """For clients that ask for plain JSON, and for browsers: they show it instead of saving it to a file."""

    media_type = "application/json"
    format = "json"


class Negotiation(DefaultContentNegotiation):
    """A browser (``text/html``) gets plain JSON; what nobody can have is 406."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if "text/html" in request.headers.get("accept", ""):
            for renderer in renderers:
                if isinstance(renderer, PlainJsonRenderer):
                    return renderer, str(renderer.media_type)
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class AnyFormat(DefaultContentNegotiation):
    """For pictures: an ``<img>`` asks for image/*, and its errors are JSON:API all the same."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


def asks_as_legacy(request: Request) -> bool:
    """Whether the client is the seed's: it asks for ``application/vnd.app+json``."""
    return LEGACY_MEDIA_TYPE in request.headers.get("accept", "")
