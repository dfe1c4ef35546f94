"""A real OpenSlides 3, used over HTTP as its web client does."""

from __future__ import annotations

from typing import Any

import requests


class OpenSlides:
    """One user's session."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()

    def login(self, username: str, password: str) -> int:
        """The status of the login: 200, or 400 for a wrong password."""
        answer = self.session.post(
            f"{self.url}/apps/users/login/", json={"username": username, "password": password}, timeout=120
        )
        return answer.status_code

    def whoami(self) -> dict[str, Any]:
        answer = self.session.get(f"{self.url}/apps/users/whoami/", timeout=120)
        found: dict[str, Any] = answer.json()
        return found

    def version(self) -> str:
        answer = requests.get(f"{self.url}/apps/core/version/", timeout=120)
        return str(answer.json()["openslides_version"])

    def config(self, key: str) -> Any:
        answer = self.session.get(f"{self.url}/rest/core/config/", timeout=120)
        return next(row["value"] for row in answer.json() if row["key"] == key)

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.url}{path}", timeout=120)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, data: Any) -> Any:
        token = next((cookie.value for cookie in self.session.cookies if "csrf" in cookie.name.lower()), "")
        answer = self.session.post(f"{self.url}{path}", json=data, headers={"X-CSRFToken": token or ""}, timeout=120)
        assert answer.status_code in (200, 201), f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()
