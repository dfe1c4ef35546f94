"""An update that must not be, on a production host: the old version and what was written serve again through nginx."""

from __future__ import annotations

import secrets

from images.recipe import PYTHON
from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import podman
from tests.host.test_kinds import logged_in, made, removed
from tests.observing import wait_for

MIGRATION = f"/opt/openslides/lib/python{PYTHON}/site-packages/openslides/core/migrations/0099_broken.py"
BROKEN = """
from django.db import migrations

def fail(apps, schema_editor):
    # Not where nobody has written anything yet: the version can be prepared.
    if apps.get_model("core", "Tag").objects.exists():
        raise RuntimeError("this migration is broken")

class Migration(migrations.Migration):
    dependencies = [("core", "0035_autopilot_permission")]
    operations = [migrations.RunPython(fail)]
"""
CONTEXT = "/srv/openslides/broken"
PREPARATION_SECONDS = 900.0
"""Beside those that the set-up has begun."""


def broken_version(operator: Operator, machine: Machine) -> str:
    """The name of a prepared version whose migration fails where there are data; its image is built in the machine."""
    label = f"3.3-broken-{secrets.token_hex(2)}"
    name = f"localhost/openslides:{label}"
    machine.do("install", "-d", "-m", "755", CONTEXT)
    machine.do("install", "-m", "644", "/dev/stdin", f"{CONTEXT}/broken.py", stdin=BROKEN)
    file = f"FROM localhost/openslides:3.3\nCOPY broken.py {MIGRATION}\n"
    machine.do("install", "-m", "644", "/dev/stdin", f"{CONTEXT}/Containerfile", stdin=file)
    podman(machine, "build", "--quiet", "--isolation=chroot", "--tag", name, CONTEXT)
    number = operator.add("osversions", {"name": label, "image": name, "engine": "podman"})["id"]
    answer = operator.send("POST", f"/api/osversions/{number}/prepare")
    assert answer.status in (201, 202), answer.text
    wait_for(
        "the preparation",
        lambda: operator.get(f"/api/osversions/{number}")["data"]["attributes"]["preparation"] == "prepared",
        PREPARATION_SECONDS,
    )
    return str(number)


def test_a_migration_that_fails_is_taken_back(operator: Operator, machine: Machine) -> None:
    broken = broken_version(operator, machine)
    number, attributes = made(operator, "3.2", slug="not-updated", always_on=True)
    visitor = Visitor(machine, f"not-updated.{DOMAIN}")
    try:
        writer = logged_in(machine, "not-updated", "/apps/users/login/", attributes["superadmin_password"])
        token = {"X-CSRFToken": writer.cookies["OpenSlidesCsrfToken"], "Referer": f"https://not-updated.{DOMAIN}/"}
        answer = writer.post("/rest/core/tag/", {"name": "written right before"}, token)
        assert answer.status == 201, answer.text
        operator.change("instances", number, {}, {"osversion": {"data": {"type": "osversions", "id": broken}}})
        found = operator.settled(number)["attributes"]
        update = operator.last_operation(number)["attributes"]
        assert (update["kind"], update["status"]) == ("update", "failed"), update
        assert update["failed_step"].startswith("migrate a copy of the data to 3.3-broken"), update
        assert "this migration is broken" in update["error"]
        assert found["state"] == "active"
        assert visitor.get("/apps/core/version/").json()["openslides_version"] == "3.2"
        again = logged_in(machine, "not-updated", "/apps/users/login/", attributes["superadmin_password"])
        assert [tag["name"] for tag in again.get("/rest/core/tag/").json()] == ["written right before"]
    finally:
        removed(operator, machine, number)
        operator.remove("osversions", broken)
        machine.do("rm", "-r", CONTEXT)
