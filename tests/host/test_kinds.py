"""Other kinds of instances than the usual one: several processes behind Redis, OpenSlides 2, and SQLite; and mail."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind, podman, redis
from tests.observing import wait_for


def version_of(operator: Operator, release: str) -> dict[str, Any]:
    """The relationship to a version that the set-up has registered."""
    versions = operator.get("/api/osversions")["data"]
    number = next(version["id"] for version in versions if version["attributes"]["name"] == release)
    return {"osversion": {"data": {"type": "osversions", "id": number}}}


def made(operator: Operator, release: str, **attributes: Any) -> tuple[str, dict[str, Any]]:
    number = operator.add("instances", attributes, version_of(operator, release))["id"]
    found = operator.settled(number, 400)
    assert found["attributes"]["state"] == "active", operator.last_operation(number)
    return number, found["attributes"]


def removed(operator: Operator, machine: Machine, number: str) -> None:
    operator.remove("instances", number)
    wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{number}").status == 404)
    assert left_behind(machine, number) == set()


def logged_in(machine: Machine, slug: str, path: str, password: str) -> Visitor:
    visitor = Visitor(machine, f"{slug}.{DOMAIN}")
    answer = visitor.post(path, {"username": "admin", "password": password})
    assert answer.status == 200, answer.text
    return visitor


def test_several_processes_share_sessions_in_redis(operator: Operator, machine: Machine) -> None:
    number, attributes = made(operator, "3.3", slug="large", event_name="Large", workers=3)
    visitor = logged_in(machine, "large", "/apps/users/login/", attributes["superadmin_password"])
    for _ in range(12):
        answer = visitor.get("/rest/core/config/")
        assert answer.status == 200
        assert {item["key"]: item["value"] for item in answer.json()}["general_event_name"] == "Large"
    assert redis(machine, "--scan", "--pattern", f"openslides-{number}:*")
    processes = machine.do("pgrep", "--count", "--full", f"python.*{number}/web.sock").strip()
    assert int(processes) >= 3
    removed(operator, machine, number)


def test_openslides_2_with_daphne_and_workers(operator: Operator, machine: Machine) -> None:
    number, attributes = made(operator, "2.3", slug="old", event_name="Old")
    visitor = logged_in(machine, "old", "/users/login/", attributes["superadmin_password"])
    assert visitor.get("/core/version/").json()["openslides_version"] == "2.3"
    assert visitor.get("/users/whoami/").json()["user_id"] == 1
    config = {item["key"]: item["value"] for item in visitor.get("/rest/core/config/").json()}
    assert config["general_event_name"] == "Old"
    assert "<base href=" in visitor.get("/").text
    assert visitor.get("/static/js/openslides.js").status == 200
    assert visitor.get("/webclient/site/").status == 200
    removed(operator, machine, number)


def test_an_instance_in_sqlite(operator: Operator, machine: Machine) -> None:
    number, attributes = made(operator, "3.3", slug="small", db="sqlite", mode="subdomain_nossl")
    assert attributes["url"] == f"http://small.{DOMAIN}/"
    visitor = Visitor(machine, f"small.{DOMAIN}", tls=False)
    account = {"username": "admin", "password": attributes["superadmin_password"]}
    assert visitor.post("/apps/users/login/", account).status == 200
    removed(operator, machine, number)


@pytest.fixture
def relay(machine: Machine) -> Iterator[str]:
    """A mail relay where the set-up expects it; gives the unit whose journal has the mails."""
    python = PROJECT / ".venv" / "bin" / "python"
    argv = (python, "-m", "aiosmtpd", "-n", "-l", "127.0.0.1:25", "-c", "aiosmtpd.handlers.Debugging", "stdout")
    machine.do("systemd-run", "--unit=relay", "--collect", "--setenv=PYTHONUNBUFFERED=1", *argv)
    yield "relay.service"
    machine.do("systemctl", "stop", "relay.service")


def test_a_mail_takes_the_way_to_the_relay(operator: Operator, machine: Machine, relay: str) -> None:
    number, _attributes = made(operator, "3.3", slug="mail")
    ask = (
        "from instances import operations; from instances.models import Instance; "
        f"operations.send_test_mail(Instance.objects.get(pk={number!r}), 'chair@example.org', operations.SYSTEM)"
    )
    manage = ("/opt/openslides-multiinstance/venv/bin/python", "/opt/openslides-multiinstance/app/manage.py")
    ran = machine.as_user(
        "openslides", "env", "ENV_FILE=/etc/openslides-multiinstance/env", *manage, "shell", "-c", ask
    )
    assert ran.code == 0, ran.output
    operator.settled(number)
    assert operator.last_operation(number)["attributes"]["status"] == "succeeded", operator.last_operation(number)
    wait_for("the mail", lambda: "To: chair@example.org" in machine.journal(relay), 20)
    removed(operator, machine, number)


def test_preparing_again_takes_a_newer_image_beside_the_one_in_use(operator: Operator, machine: Machine) -> None:
    name = "localhost/openslides:moving"
    podman(machine, "tag", "localhost/openslides:3.3", name)
    label = f"3.3-moving-{secrets.token_hex(2)}"
    operator.add("osversions", {"name": label, "image": name, "engine": "podman"})
    number, _attributes = made(operator, label, slug="moving")
    visitor = Visitor(machine, f"moving.{DOMAIN}")
    pinned = "/srv/openslides/versions/localhost-openslides-moving/image.json"
    before = json.loads(machine.read(pinned))["image_id"]
    # Another image under the same name: as it is in a registry the day after.
    machine.do("sh", "-c", "printf 'FROM localhost/openslides:3.3\\nLABEL day=after\\n' >/srv/openslides/Containerfile")
    podman(machine, "build", "--quiet", "--isolation=chroot", "--tag", name, "--file", "/srv/openslides/Containerfile")
    manage = ("/opt/openslides-multiinstance/venv/bin/python", "/opt/openslides-multiinstance/app/manage.py")
    settings = ("env", "ENV_FILE=/etc/openslides-multiinstance/env")
    ran = machine.as_user("openslides", *settings, *manage, "version", "prepare", label, "--wait", timeout=300)
    assert ran.code == 0, ran.output
    after = json.loads(machine.read(pinned))["image_id"]
    assert after != before
    assert visitor.get("/apps/core/version/").status == 200
    argv = json.loads(machine.read(f"/srv/openslides/instances/{number}/service.json"))["argv"]
    assert before in argv
    operator.change("instances", number, {"state": "stopped"})
    operator.settled(number)
    operator.change("instances", number, {"state": "active"})
    operator.settled(number)
    assert after in json.loads(machine.read(f"/srv/openslides/instances/{number}/service.json"))["argv"]
    removed(operator, machine, number)
