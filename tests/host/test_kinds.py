"""Other kinds of instances than the usual one: several processes behind Redis, OpenSlides 2, and SQLite; and mail."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind, podman, psql, redis
from tests.observing import wait_for

REDIS = "redis-server@openslides.service"


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


def databases_and_roles(machine: Machine) -> list[str]:
    return psql(machine, "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles")


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
    # It runs on, and its container sees the directory of the socket that Redis had when it started.
    machine.do("systemctl", "restart", REDIS)
    account = {"username": "admin", "password": attributes["superadmin_password"]}
    again = Visitor(machine, visitor.host)
    # In each process, a request that finds the old connections closed may fail.
    wait_for("all processes answer", lambda: {visitor.get("/apps/users/whoami/").status for _ in range(12)} == {200})
    wait_for("a log-in", lambda: again.post("/apps/users/login/", account).status == 200)
    for each in (visitor, again):
        assert each.get("/apps/users/whoami/").json()["user_id"] == 1
        assert each.get("/rest/core/config/").status == 200
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
    # Whoever needs no Redis wakes without.
    machine.do("systemctl", "stop", REDIS)
    try:
        fall_asleep(machine, number)
        assert visitor.get("/apps/core/version/").json()["openslides_version"] == "3.3"
    finally:
        machine.do("systemctl", "start", REDIS)
    removed(operator, machine, number)


def fall_asleep(machine: Machine, number: str) -> None:
    """At once, as when its idle time is over."""
    machine.do("systemctl", "stop", f"openslides_instance_proxy@{number}.service")
    unit = f"openslides_instance@{number}.service"
    wait_for("it sleeps", lambda: machine.run("systemctl", "is-active", unit).output.strip() == "inactive")


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
    # The container that runs sees the directory, and so the new socket.
    machine.do("systemctl", "restart", "openslides_mail.socket")
    container = f"openslides-{number}"
    podman(machine, "exec", container, "python3", "-m", "django", "sendtestemail", "members@example.org")
    wait_for("the other mail", lambda: "To: members@example.org" in machine.journal(relay), 20)
    removed(operator, machine, number)


def build_beside(machine: Machine, day: str, name: str) -> None:
    """Another image of OpenSlides 3.3, by this name."""
    machine.do("tee", "/srv/openslides/Containerfile", stdin=f"FROM localhost/openslides:3.3\nLABEL day={day}\n")
    podman(machine, "build", "--quiet", "--isolation=chroot", "--tag", name, "--file", "/srv/openslides/Containerfile")


def prepare(machine: Machine, label: str) -> None:
    manage = ("/opt/openslides-multiinstance/venv/bin/python", "/opt/openslides-multiinstance/app/manage.py")
    settings = ("env", "ENV_FILE=/etc/openslides-multiinstance/env")
    ran = machine.as_user("openslides", *settings, *manage, "version", "prepare", label, "--wait", timeout=300)
    assert ran.code == 0, ran.output


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
    build_beside(machine, "after", name)
    prepare(machine, label)
    after = json.loads(machine.read(pinned))["image_id"]
    assert after != before
    assert visitor.get("/apps/core/version/").status == 200
    service = f"/srv/openslides/instances/{number}/service.json"
    assert before in json.loads(machine.read(service))["argv"]
    # How long it may idle is changed while people are in it.
    container = podman(machine, "ps", "--no-trunc", "--quiet", f"--filter=name={number}")
    operator.change("instances", number, {"idle_minutes": 3})
    operator.settled(number)
    assert operator.last_operation(number)["attributes"]["status"] == "succeeded"
    assert json.loads(machine.read(service))["idle_seconds"] == 180
    assert podman(machine, "ps", "--no-trunc", "--quiet", f"--filter=name={number}") == container != []
    operator.change("instances", number, {"state": "stopped"})
    operator.settled(number)
    operator.change("instances", number, {"state": "active"})
    operator.settled(number)
    assert after in json.loads(machine.read(service))["argv"]
    removed(operator, machine, number)


def test_a_version_that_is_deleted_leaves_nothing(operator: Operator, machine: Machine) -> None:
    name, directory = "localhost/openslides:leaving", "/srv/openslides/versions/localhost-openslides-leaving"
    build_beside(machine, "leaving", name)
    label = f"3.3-leaving-{secrets.token_hex(2)}"
    version = operator.add("osversions", {"name": label, "image": name, "engine": "podman"})["id"]
    prepare(machine, label)
    image = json.loads(machine.read(f"{directory}/image.json"))["image_id"]
    template = f"openslides_template_{hashlib.sha256(b'localhost-openslides-leaving').hexdigest()[:16]}"
    assert databases_and_roles(machine).count(template) == 2
    # An image with several names is one that podman does not remove by its id.
    podman(machine, "tag", image, "localhost/openslides:left")
    operator.remove("osversions", str(version))
    wait_for("its files are gone", lambda: machine.run("test", "-e", directory).code == 1)
    kept = podman(machine, "images", "--all", "--no-trunc", "--format={{.Id}} {{.Repository}}:{{.Tag}}")
    assert not {image, f"sha256:{image}"} & set(kept)
    assert "localhost/openslides:3.3" in kept, "which it was made of"
    assert template not in databases_and_roles(machine)
