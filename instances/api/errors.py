"""Every refusal as JSON:API error objects (jsonapi.org/format/1.1/#errors)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import ProtectedError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response

from deployers.errors import ArchiveMissing, StoreFailed
from instances.errors import OperationRefused, OperationRunning
from instances.fields import CannotDecrypt

ErrorObject = dict[str, Any]

ATTRIBUTES_OF_FIELDS = {"domain": "parent_domain", "version": "osversion"}
"""What the fields of an instance are called in its document, if not by their own name."""
RELATIONSHIPS = {"osversion", "instances"}
"""The relationships that can be written; all else that can be is an attribute."""


class ApiError(exceptions.APIException):
    """A refusal with what JSON:API says of one. ``pointer``: into the document; ``parameter``: of the query."""

    code = "refused"

    def __init__(self, detail: str, *, pointer: str | None = None, parameter: str | None = None) -> None:
        super().__init__(detail, self.code)
        self.pointer = pointer
        self.parameter = parameter


class Malformed(ApiError):
    """The body is no JSON:API document."""

    status_code = status.HTTP_400_BAD_REQUEST
    code = "malformed"


class BadParameter(ApiError):
    """A query parameter that there is not, or with a value that makes no sense."""

    status_code = status.HTTP_400_BAD_REQUEST
    code = "bad_parameter"


class ClientId(ApiError):
    """The client chose an id ("MUST return 403 Forbidden", jsonapi.org/format/1.1/#crud-creating-client-ids)."""

    status_code = status.HTTP_403_FORBIDDEN
    code = "client_generated_id"


class Conflict(ApiError):
    """It does not fit what is there, or where it was sent to."""

    status_code = status.HTTP_409_CONFLICT
    code = "conflict"


class TooLarge(ApiError):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    code = "too_large"


class Invalid(ApiError):
    """A value that cannot be taken. 422, because only then the seed's client shows the text at the field."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    code = "invalid"


def error_object(
    status_code: int,
    code: str,
    detail: object,
    *,
    pointer: str | None = None,
    parameter: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> ErrorObject:
    """One error object; ``title`` is the same for all of a status, ``detail`` says what to do here."""
    found: ErrorObject = {
        "status": str(status_code),
        "code": code,
        "title": _title(status_code),
        "detail": str(detail),
    }
    if pointer is not None:
        found["source"] = {"pointer": pointer}
    elif parameter is not None:
        found["source"] = {"parameter": parameter}
    if meta is not None:
        found["meta"] = dict(meta)
    return found


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The answer to an exception in a view; None leaves it to Django (500, see ``handlers.py``)."""
    request = context["request"]
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    objects, headers = _error_objects(error, request), {}
    if objects is None:
        return None
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header + getattr(error, "challenge", "")
    return Response(objects, status=int(objects[0]["status"]), headers=headers)


def _error_objects(error: Exception, request: Any) -> list[ErrorObject] | None:
    match error:
        case ApiError():
            return [
                error_object(
                    error.status_code, error.code, error.detail, pointer=error.pointer, parameter=error.parameter
                )
            ]
        case exceptions.ValidationError():
            return [
                error_object(Invalid.status_code, str(detail.code), detail, pointer=pointer)
                for pointer, detail in _details(error.detail, "/data")
            ]
        case exceptions.APIException():
            return [error_object(error.status_code, str(error.get_codes()), error.detail)]
        case OperationRunning():
            return [error_object(409, error.code, error, meta={"operation": _running(error, request)})]
        case OperationRefused():
            if error.field is None:
                return [error_object(409, error.code, error)]
            name = ATTRIBUTES_OF_FIELDS.get(error.field, error.field)
            return [error_object(422, error.code, error, pointer=member_pointer(name))]
        case ModelValidationError():
            # Only a race ends here: what can be checked before is checked by the serializers.
            return [
                error_object(422, "invalid", message, pointer="/data/attributes/slug") for message in error.messages
            ]
        case ProtectedError():
            return [error_object(409, "in_use", _("It is in use and cannot be deleted."))]
        case ArchiveMissing():
            return [error_object(404, "archive_missing", error)]
        case StoreFailed():
            return [error_object(503, "store_failed", error)]
        case CannotDecrypt():
            return [error_object(503, "cannot_decrypt", error)]
        case _:
            return None


def member_pointer(name: str) -> str:
    """Where the attribute or relationship stands in the document."""
    return f"/data/{'relationships' if name in RELATIONSHIPS else 'attributes'}/{name}"


def _details(detail: Any, pointer: str) -> Iterator[tuple[str, exceptions.ErrorDetail]]:
    """A validation error's nested lists and dicts, flat, with the pointer of each."""
    if isinstance(detail, exceptions.ErrorDetail):
        yield pointer, detail
    elif isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _details(inner, pointer if name == "non_field_errors" else member_pointer(str(name)))
    else:
        for inner in detail:
            yield from _details(inner, pointer)


def _running(error: OperationRunning, request: Any) -> dict[str, Any]:
    from rest_framework.reverse import reverse

    running = error.running
    return {
        "id": str(running.pk),
        "kind": running.kind,
        "status": running.status,
        "link": reverse("api:operation-detail", kwargs={"pk": running.pk}, request=request),
    }


def _title(status_code: int) -> str:
    return {
        400: _("The request cannot be understood"),
        401: _("Sign in first"),
        403: _("Not allowed"),
        404: _("There is no such thing"),
        405: _("This cannot be done here"),
        406: _("No such format"),
        409: _("It does not fit the present state"),
        413: _("Too large"),
        415: _("This format is not understood"),
        422: _("A value cannot be taken"),
        503: _("Not available now"),
    }.get(status_code, _("Something went wrong"))
