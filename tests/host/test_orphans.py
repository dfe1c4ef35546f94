"""An instance whose row is lost: each part of it is found on a production host, and removed when somebody says so."""

from __future__ import annotations

from typing import Any

from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind
from tests.observing import wait_for

PRODUCT = "/opt/openslides-multiinstance"
MANAGE = ("env", "ENV_FILE=/etc/openslides-multiinstance/env", f"{PRODUCT}/venv/bin/python", f"{PRODUCT}/app/manage.py")


def manage(machine: Machine, *arguments: str) -> str:
    ran = machine.as_user("openslides", *MANAGE, *arguments)
    assert ran.code == 0, ran.output
    return ran.output


def orphans(operator: Operator, machine: Machine, number: str) -> dict[str, Any]:
    """By kind, as the host's worker finds them now."""
    manage(machine, "shell", "-c", "from instances.tasks import list_orphans; list_orphans(1)")
    found = operator.get(f"/api/orphans?filter[instance]={number}")["data"]
    return {orphan["attributes"]["kind"]: orphan for orphan in found}


def test_what_is_left_of_a_lost_instance_is_found_part_by_part_and_removed(
    operator: Operator, machine: Machine
) -> None:
    lost, neighbour = (operator.add("instances", {"slug": slug, "always_on": True})["id"] for slug in ("lost", "found"))
    for number in (lost, neighbour):
        assert operator.settled(number, 300)["attributes"]["state"] == "active", operator.last_operation(number)
    assert orphans(operator, machine, lost) == {}
    delete = f"from instances.models import Instance; Instance.objects.filter(pk={lost!r}).delete()"
    manage(machine, "shell", "-c", delete)
    left = orphans(operator, machine, lost)
    assert set(left) >= {"address", "container", "database", "directory", "role", "service"}
    assert orphans(operator, machine, neighbour) == {}
    for orphan in left.values():
        answer = operator.send("DELETE", f"/api/orphans/{orphan['id']}")
        # Whatever is removed takes all databases of its id along; so one may be gone before it is asked for.
        assert answer.status in (202, 404), answer.text
    wait_for("nothing is listed", lambda: operator.get("/api/orphans")["data"] == [], 180)
    assert left_behind(machine, lost) == set()
    assert Visitor(machine, f"lost.{DOMAIN}").get("/").status in (404, 502, 503)
    assert Visitor(machine, f"found.{DOMAIN}").get("/apps/core/version/").status == 200
    operator.remove("instances", neighbour)
    wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{neighbour}").status == 404)
    assert orphans(operator, machine, neighbour) == {}
