"""Backups on a production host: PostgreSQL, containers that run as another user, nginx that serves the uploads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.host.conftest import BACKUPS, DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind
from tests.host.test_life import Party, prepared, upload_media
from tests.observing import wait_for

CONTENT = b"as it was " * 300_000
"""More than OpenSlides takes into its memory: such an upload begins as a temporary file."""


@dataclass
class Backed:
    """An instance with an upload, and its backup."""

    party: Party
    path: str
    backup: str = ""


def made(operator: Operator, document: dict[str, Any] | None, path: str, status: int) -> Any:
    answer = operator.send("POST", path, document) if document else operator.visitor.ask("POST", path)
    assert answer.status == status, answer.text
    return answer.json()["data"]


def complete(operator: Operator, backup: str) -> Any:
    """The backup's attributes once it is complete, or its operation failed."""

    def look() -> Any:
        found = operator.get(f"/api/backups/{backup}")["data"]["attributes"]
        return found if found["complete"] else None

    return wait_for(f"backup {backup} is complete", look)


def party_of(operator: Operator, machine: Machine, number: str, password: str | None = None) -> Party:
    found = operator.settled(number, 300)
    assert found["attributes"]["state"] in ("active", "sleeping"), operator.last_operation(number)
    attributes = found["attributes"]
    if password is not None:
        attributes["superadmin_password"] = password
    return Party(number, attributes, Visitor(machine, f"{attributes['slug']}.{DOMAIN}"))


def files(party: Party) -> list[bytes]:
    """What nginx sends of the instance's uploads."""
    visitor = party.logged_in()
    listed = visitor.get("/rest/mediafiles/mediafile/").json()
    answers = [visitor.get(f"/media/{each['path']}") for each in listed]
    assert [answer.status for answer in answers] == [200] * len(answers)
    return [answer.body for answer in answers]


@pytest.fixture(scope="class")
def backed(machine: Machine, operator: Operator) -> Backed:
    version = {"osversion": {"data": {"type": "osversions", "id": prepared(operator, "3.3")}}}
    number = operator.add("instances", {"slug": "kept", "event_name": "Kept"}, version)["id"]
    party = party_of(operator, machine, number)
    visitor = party.logged_in()
    path = wait_for("an upload", lambda: upload_media(visitor, CONTENT))
    return Backed(party, path)


class TestBackups:
    """In this order."""

    def test_a_backup_is_made_while_it_runs(self, backed: Backed, operator: Operator, machine: Machine) -> None:
        instance = {"instance": {"data": {"type": "instances", "id": backed.party.id}}}
        document = {"data": {"type": "backups", "relationships": instance}}
        backed.backup = made(operator, document, "/api/backups", 201)["id"]
        assert complete(operator, backed.backup)["size"] > len(CONTENT)
        operator.settled(backed.party.id)
        modes = machine.do("find", BACKUPS, "-type", "f", "-printf", "%m %u\n").split("\n")
        assert set(modes) == {"600 openslides", ""}

    def test_it_is_proved_by_a_restore_that_nobody_sees(
        self, backed: Backed, operator: Operator, machine: Machine
    ) -> None:
        before = machine.do("ls", "/srv/openslides/instances")
        made(operator, None, f"/api/backups/{backed.backup}/verify", 202)

        def verified() -> bool:
            found = operator.get(f"/api/backups/{backed.backup}")["data"]["attributes"]
            assert not found["problem"], found
            return bool(found["verified_at"])

        wait_for("it is verified", verified)
        assert machine.do("ls", "/srv/openslides/instances") == before

    def test_a_restore_brings_rows_and_files_back(self, backed: Backed, operator: Operator, machine: Machine) -> None:
        visitor = backed.party.logged_in()
        wait_for("an upload", lambda: upload_media(visitor, b"after", "after.txt"))
        assert sorted(files(backed.party)) == sorted([CONTENT, b"after"])
        made(operator, None, f"/api/backups/{backed.backup}/restore", 202)
        party_of(operator, machine, backed.party.id)
        assert files(backed.party) == [CONTENT]

    def test_uploads_still_work_after_it(self, backed: Backed) -> None:
        visitor = backed.party.logged_in()
        wait_for("an upload", lambda: upload_media(visitor, b"again", "again.txt"))
        assert sorted(files(backed.party)) == sorted([CONTENT, b"again"])

    def test_a_clone_has_what_was_backed_up_and_is_separate(
        self, backed: Backed, operator: Operator, machine: Machine
    ) -> None:
        document = {"data": {"type": "instances", "attributes": {"slug": "clone"}}}
        number = made(operator, document, f"/api/backups/{backed.backup}/clone", 201)["id"]
        clone = party_of(operator, machine, number, backed.party.attributes["superadmin_password"])
        assert files(clone) == [CONTENT]
        visitor = clone.logged_in()
        wait_for("an upload", lambda: upload_media(visitor, b"the clone's", "own.txt"))
        assert b"the clone's" not in files(backed.party)
        operator.remove("instances", number)
        wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{number}").status == 404)
        assert left_behind(machine, number) == set()

    def test_what_was_removed_comes_back_as_it_was(self, backed: Backed, operator: Operator, machine: Machine) -> None:
        number = backed.party.id
        operator.remove("instances", number)
        wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{number}").status == 404)
        assert left_behind(machine, number) == set()
        made(operator, None, f"/api/instances/{number}/bring-back", 202)
        party_of(operator, machine, number)
        assert sorted(files(backed.party)) == sorted([CONTENT, b"again"])

    def test_nothing_of_a_purged_one_is_left(self, backed: Backed, operator: Operator, machine: Machine) -> None:
        number = backed.party.id
        made(operator, None, f"/api/instances/{number}/purge", 202)
        wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{number}").status == 404)
        assert left_behind(machine, number) == set()
        assert number not in machine.do("find", BACKUPS)
