"""The API as a client sees it: real requests through Django's handlers and middleware, with HTTP Basic."""

from __future__ import annotations

import base64
import json
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpResponse
from django.test import Client

from instances.models import Host
from tests.factories import PASSWORD

JSON_API = "application/vnd.api+json"
LEGACY = "application/vnd.app+json;version=1"


def basic(user: AbstractBaseUser | str, password: str = PASSWORD) -> str:
    """The value of an Authorization header."""
    name = user if isinstance(user, str) else user.get_username()
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Api:
    """One user's requests. A failure of the server is an answer with 500, as outside of tests."""

    def __init__(self, user: AbstractBaseUser | None = None) -> None:
        self.headers = {"authorization": basic(user)} if user else {}
        self.client = Client(raise_request_exception=False)

    def call(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        body: bytes | None = None,
        accept: str = JSON_API,
        content_type: str = JSON_API,
        expect: int | None = None,
    ) -> HttpResponse:
        """``path``: below /api. ``body``: instead of a document."""
        sent = body if body is not None else b"" if document is None else json.dumps(document).encode()
        answer: Any = self.client.generic(
            method, f"/api{path}", sent, content_type=content_type, headers={"accept": accept, **self.headers}
        )
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.content!r}"
        return answer  # type: ignore[no-any-return]

    def get(self, path: str, expect: int = 200, accept: str = JSON_API) -> Any:
        return json.loads(self.call("GET", path, accept=accept, expect=expect).content)

    def post(self, path: str, document: Any, expect: int = 201) -> Any:
        return json.loads(self.call("POST", path, document, expect=expect).content)

    def patch(self, path: str, document: Any, expect: int = 200) -> Any:
        return json.loads(self.call("PATCH", path, document, expect=expect).content)

    def delete(self, path: str, expect: int = 204) -> Any:
        content = self.call("DELETE", path, expect=expect).content
        return json.loads(content) if content else None


def messages(host: Host) -> int:
    """How many messages lie in the broker's folder for a host. (Other tests use the same folder meanwhile.)"""
    return len(list(settings.BROKER_FOLDER.glob(f"*.{host.queue}.msg")))


def pointers(answer: Any) -> list[str]:
    """Where the errors of an answer point to."""
    return [error["source"]["pointer"] for error in answer["errors"]]


def resource(kind: str, attributes: Any = None, relationships: Any = None, **members: Any) -> dict[str, Any]:
    """A document with one resource; None leaves a member out."""
    data: dict[str, Any] = {"type": kind, **members}
    if attributes is not None:
        data["attributes"] = attributes
    if relationships is not None:
        data["relationships"] = relationships
    return {"data": data}
