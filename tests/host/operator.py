"""Works with a control plane over JSON:API, as an operator's program does."""

from __future__ import annotations

import base64
from typing import Any

from tests.host.machine import Answer, Visitor
from tests.observing import wait_for

PASSING = ("installing", "updating", "starting", "removing")


class Operator:
    """Speaks for one account."""

    def __init__(self, visitor: Visitor, username: str, password: str) -> None:
        self.visitor = visitor
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        visitor.headers |= {"Authorization": f"Basic {token}", "Accept": "application/vnd.api+json"}

    def send(self, method: str, path: str, document: Any = None) -> Answer:
        return self.visitor.post(path, document, {"Content-Type": "application/vnd.api+json"}, method=method)

    def get(self, path: str) -> Any:
        answer = self.visitor.get(path)
        assert answer.status == 200, answer.text
        return answer.json()

    def add(self, resource: str, attributes: dict[str, Any], relationships: dict[str, Any] | None = None) -> Any:
        document = {"data": {"type": resource, "attributes": attributes, "relationships": relationships or {}}}
        answer = self.send("POST", f"/api/{resource}", document)
        assert answer.status == 201, answer.text
        return answer.json()["data"]

    def change(self, resource: str, number: str, attributes: dict[str, Any], relationships: Any = None) -> Any:
        data = {"type": resource, "id": number, "attributes": attributes, "relationships": relationships or {}}
        answer = self.send("PATCH", f"/api/{resource}/{number}", {"data": data})
        assert answer.status == 200, answer.text
        return answer.json()["data"]

    def remove(self, resource: str, number: str) -> None:
        answer = self.send("DELETE", f"/api/{resource}/{number}")
        assert answer.status in (202, 204), answer.text

    def instance(self, number: str) -> Any:
        return self.get(f"/api/instances/{number}")["data"]

    def settled(self, number: str, seconds: float = 300) -> Any:
        """The instance once no operation of it is unfinished, and its state was read after that."""

        def look() -> Any:
            found = self.instance(number)
            busy = found["relationships"]["operation"]["data"] is not None
            return None if busy or found["attributes"]["state"] in PASSING else found

        return wait_for(f"no operation of {number}", look, seconds)

    def last_operation(self, number: str) -> Any:
        return self.get(f"/api/operations?filter[instance]={number}&sort=-id")["data"][0]

    def state_is(self, number: str, state: str, seconds: float = 180) -> None:
        def look() -> bool:
            return bool(self.instance(number)["attributes"]["state"] == state)

        try:
            wait_for(f"{number} is {state}", look, seconds, every=0.3)
        except AssertionError as error:
            found = self.instance(number)["attributes"]
            raise AssertionError(f"{error}: {found['state']}, last: {self.last_operation(number)}") from None
