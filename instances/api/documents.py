"""Reading JSON:API documents: strict about the form, so that everything behind it deals with clean values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework import parsers

from instances.api.errors import ClientId, Conflict, Malformed, TooLarge

MAX_DOCUMENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ResourceObject:
    """The primary data of a request. ``relationships``: the ``data`` member of each."""

    type: str
    id: str | None
    attributes: dict[str, Any]
    relationships: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """Attributes and relationships: in JSON:API they share a namespace."""
        return {**self.attributes, **self.relationships}


class JsonApiParser(parsers.BaseParser):
    """A JSON:API document as a ResourceObject. Raises Malformed, TooLarge."""

    media_type = "application/vnd.api+json"

    def parse(  # type: ignore[override]
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> ResourceObject:
        # Django limits a body that it reads itself (DATA_UPLOAD_MAX_MEMORY_SIZE), not one that is read from the stream.
        body = stream.read(MAX_DOCUMENT_BYTES + 1)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise TooLarge(_("The document is larger than %(bytes)s bytes.") % {"bytes": MAX_DOCUMENT_BYTES})
        return read_document(body)


class LegacyParser(JsonApiParser):
    """The media type as the seed's client writes it."""

    media_type = "application/vnd.app+json"


class PlainJsonParser(JsonApiParser):
    """For clients that cannot choose another type. It is a JSON:API document all the same."""

    media_type = "application/json"


def read_document(body: bytes) -> ResourceObject:
    """Raises Malformed with a pointer to what is wrong."""
    try:
        # RecursionError: thousands of nested brackets. ValueError: also a number of thousands of digits.
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise Malformed(_("The document is nested too deeply.")) from None
    except ValueError as error:
        raise Malformed(_("The body is not JSON in UTF-8: %(reason)s") % {"reason": error}) from None
    _refuse_unstorable(document)
    resource = _member(document, "data", "")
    kind = resource.get("type")
    if not isinstance(kind, str):
        raise Malformed(
            _("The resource needs a type, a text."), pointer="/data/type" if "type" in resource else "/data"
        )
    identity = resource.get("id")
    if not isinstance(identity, str | None):
        raise Malformed(_("Ids are texts: write it in quotation marks."), pointer="/data/id")
    attributes = _member(resource, "attributes", "/data", required=False)
    relationships = {}
    for name in (found := _member(resource, "relationships", "/data", required=False)):
        relationship = _member(found, name, "/data/relationships")
        if "data" not in relationship:
            raise Malformed(_("A relationship needs the member data."), pointer=_below("/data/relationships", name))
        relationships[name] = relationship["data"]
    for name in attributes:
        if name in ("type", "id") or name in relationships:
            raise Malformed(
                _("An attribute cannot be called type or id, or like a relationship."),
                pointer=_below("/data/attributes", name),
            )
    return ResourceObject(kind, identity, attributes, relationships)


def new_resource(document: Any, kind: str) -> ResourceObject:
    """The resource to make. Raises Malformed, Conflict, ClientId."""
    resource = _of_type(document, kind)
    if resource.id:
        raise ClientId(_("The server chooses the id: leave it out."), pointer="/data/id")
    return resource


def changed_resource(document: Any, kind: str, identity: str) -> ResourceObject:
    """The resource to change. Raises Malformed, Conflict."""
    resource = _of_type(document, kind)
    if resource.id is None:
        raise Malformed(_("The resource needs its id."), pointer="/data")
    if resource.id != identity:
        raise Conflict(
            _("The document is about %(document)s, the address about %(address)s.")
            % {"document": resource.id, "address": identity},
            pointer="/data/id",
        )
    return resource


def _of_type(document: Any, kind: str) -> ResourceObject:
    if not isinstance(document, ResourceObject):
        # What REST framework makes of a request without a body.
        raise Malformed(_("Send a JSON:API document with the resource in its member data."), pointer="")
    if document.type != kind:
        raise Conflict(
            _("Here are %(kind)s, and the document has the type %(type)s.") % {"kind": kind, "type": document.type},
            pointer="/data/type",
        )
    return document


def _member(parent: Any, name: str, pointer: str, *, required: bool = True) -> dict[str, Any]:
    """A member that must be an object; ``pointer`` is that of its parent."""
    if not isinstance(parent, dict):
        raise Malformed(_("This must be an object."), pointer=pointer)
    if name not in parent:
        if not required:
            return {}
        raise Malformed(_("The member %(name)s is missing.") % {"name": name}, pointer=pointer)
    found = parent[name]
    if not isinstance(found, dict):
        raise Malformed(_("This must be an object."), pointer=_below(pointer, name))
    return found


def _below(pointer: str, name: str) -> str:
    """RFC 6901, section 3."""
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _refuse_unstorable(document: Any) -> None:
    """Refuse what cannot be written as UTF-8 (half of a surrogate pair) or kept by PostgreSQL (the character NUL)."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                _refuse_characters(name, pointer)
                waiting.append((_below(pointer, name), inner))
        elif isinstance(value, list):
            waiting.extend((f"{pointer}/{index}", inner) for index, inner in enumerate(value))
        elif isinstance(value, str):
            _refuse_characters(value, pointer)


def _refuse_characters(text: str, pointer: str) -> None:
    for character in text:
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            raise Malformed(
                _("It holds the character U+%(code)04X, which no text can have.") % {"code": ord(character)},
                pointer=pointer,
            )
