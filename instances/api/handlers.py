"""What Django answers outside of the views: JSON:API under /api/, its own pages elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views import defaults

from instances.api.errors import error_object
from instances.api.renderers import JsonApiRenderer

RETRY_SECONDS = 5


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _answer(request, 400, "bad_request", lambda: defaults.bad_request(request, exception))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _answer(request, 403, "permission_denied", lambda: defaults.permission_denied(request, exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _answer(request, 404, "not_found", lambda: defaults.page_not_found(request, exception))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """503 where the database does not answer, or is busy for too long: that is over soon, and no defect of ours.

    Django calls this while it handles the exception.
    """
    if not isinstance(sys.exception(), OperationalError | InterfaceError):
        return _answer(request, 500, "error", lambda: defaults.server_error(request))
    answer = _answer(
        request, 503, "database_unavailable", lambda: HttpResponse(render_to_string("503.html"), status=503)
    )
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _answer(request: HttpRequest, status: int, code: str, page: Callable[[], Any]) -> HttpResponseBase:
    if request.path != "/api" and not request.path.startswith("/api/"):
        found: HttpResponseBase = page()
        return found
    details = {
        400: _("The request was refused before it was read."),
        403: _("You may not do that."),
        404: _("There is nothing at this address."),
        500: _("The server failed. Its log says why."),
        503: _("The database does not answer, so nothing was changed. Try again in a moment."),
    }
    return JsonResponse(
        {"errors": [error_object(status, code, details[status])]},
        status=status,
        content_type=JsonApiRenderer.media_type,
    )
