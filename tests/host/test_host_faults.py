"""When a part of the host fails: the operation ends at its step with a message to act on, and a new try works."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind
from tests.observing import wait_for

ENGLISH = {"Accept-Language": "en"}
ARCHIVE = "/srv/openslides/images/later.tar"


def failed(operator: Operator, number: str) -> dict[str, Any]:
    """The last operation, which must have failed."""
    operator.settled(number)
    attributes: dict[str, Any] = operator.last_operation(number)["attributes"]
    assert attributes["status"] == "failed", attributes
    return attributes


def tried_again(operator: Operator, number: str) -> None:
    operator.change("instances", number, {"state": "active"})
    found = operator.settled(number)
    assert found["attributes"]["state"] in ("active", "sleeping"), operator.last_operation(number)


def removed(operator: Operator, number: str) -> None:
    operator.remove("instances", number)
    wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{number}").status == 404)


@pytest.fixture(scope="module")
def neighbour(operator: Operator, machine: Machine) -> Iterator[tuple[str, Visitor]]:
    """Another instance, which nothing of all this may touch."""
    number = operator.add("instances", {"slug": "neighbour", "always_on": True})["id"]
    assert operator.settled(number, 300)["attributes"]["state"] == "active", operator.last_operation(number)
    yield number, Visitor(machine, f"neighbour.{DOMAIN}")
    removed(operator, number)


@pytest.fixture(autouse=True)
def untouched(neighbour: tuple[str, Visitor]) -> Iterator[None]:
    yield
    assert neighbour[1].get("/apps/core/version/").status == 200


def test_postgresql_is_down(operator: Operator, machine: Machine) -> None:
    """The control plane's own database is on the same server: it says so, and goes on where it was when it is back."""
    number = operator.add("instances", {"slug": "no-database"})["id"]
    machine.do("systemctl", "stop", "postgresql@15-main.service")
    try:
        answer = operator.send("GET", "/api/instances")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["errors"][0]["code"] == "database_unavailable"
        known = Visitor(machine, DOMAIN, cookies={"multiinstance_session": "x" * 32})
        assert "The database does not answer" in known.get("/admin/", ENGLISH).text
        time.sleep(5)
    finally:
        machine.do("systemctl", "start", "postgresql@15-main.service")
    wait_for("the control plane answers", lambda: operator.send("GET", "/api/instances").status == 200)
    assert operator.settled(number)["attributes"]["state"] == "active", operator.last_operation(number)
    removed(operator, number)


@pytest.mark.parametrize("image", ["localhost/missing:1", "docker.io/none/none:1", f"oci-archive:{ARCHIVE}"])
def test_an_image_that_cannot_be_fetched(operator: Operator, machine: Machine, image: str) -> None:
    version = operator.add("osversions", {"name": f"3.3-{secrets.token_hex(2)}", "image": image, "engine": "podman"})
    choice = {"osversion": {"data": {"type": "osversions", "id": version["id"]}}}
    number = operator.add("instances", {"slug": "no-image"}, choice)["id"]
    error = failed(operator, number)["error"]
    assert image in error
    assert "prepare the version again" in error
    assert left_behind(machine, number) == set()
    if image.endswith(ARCHIVE):
        machine.do("cp", "/srv/openslides/images/openslides-3.3.tar", ARCHIVE)
        tried_again(operator, number)
        machine.do("rm", ARCHIVE)
    removed(operator, number)


@pytest.fixture
def full_disk(machine: Machine) -> Iterator[Callable[[], None]]:
    """A new instance's files come to a disk of 256 KiB, until what this gives is called."""
    place, small = "/srv/openslides/instances", "/run/small-disk"
    # Those that are there stay where they are.
    script = f"""mkdir {small}; mount -t tmpfs -o size=256k,mode=711 tmpfs {small}; chown --reference={place} {small}
        for one in {place}/*; do mkdir {small}/${{one##*/}}; mount --bind $one {small}/${{one##*/}}; done
        mount --rbind {small} {place}"""

    def take_away() -> None:
        machine.run("umount", "--recursive", "--lazy", place)

    machine.do("sh", "-ec", script)
    try:
        yield take_away
    finally:
        take_away()
        machine.do("umount", "--recursive", "--lazy", small)
        machine.do("rmdir", small)


def test_the_disk_is_full(operator: Operator, machine: Machine, full_disk: Callable[[], None]) -> None:
    number = operator.add("instances", {"slug": "no-room", "db": "sqlite"})["id"]
    attributes = failed(operator, number)
    assert attributes["failed_step"] == "copy the template database"
    assert "The disk is full: make room there" in attributes["error"]
    assert left_behind(machine, number) == set()
    full_disk()
    tried_again(operator, number)
    removed(operator, number)


def test_a_certificate_that_is_missing(operator: Operator, machine: Machine) -> None:
    files = {"certificate": "/etc/ssl/certs/none.pem", "certificate_key": "/etc/ssl/private/none.key"}
    domain = operator.add("osdomains", {"domain": "other.test", **files})
    number = operator.add("instances", {"slug": "no-certificate", "parent_domain": "other.test"})["id"]
    attributes = failed(operator, number)
    assert attributes["failed_step"] == "check that the domain is served"
    assert "none.pem does not exist. Put it there" in attributes["error"]
    assert "none.pem" in operator.get(f"/api/osdomains/{domain['id']}")["data"]["attributes"]["problem"]
    assert left_behind(machine, number) == set()
    operator.change("osdomains", domain["id"], {"certificate": "", "certificate_key": ""})
    tried_again(operator, number)
    assert Visitor(machine, "no-certificate.other.test").get("/apps/core/version/").status == 200
    removed(operator, number)


def test_nginx_refuses_its_configuration(operator: Operator, machine: Machine) -> None:
    machine.do("tee", "/etc/nginx/conf.d/broken.conf", stdin="this is no configuration;\n")
    operator.add("osdomains", {"domain": "third.test"})
    number = operator.add("instances", {"slug": "no-nginx", "parent_domain": "third.test"})["id"]
    attributes = failed(operator, number)
    assert attributes["failed_step"] == "check that the domain is served"
    assert "nginx" in attributes["error"]
    assert left_behind(machine, number) == set()
    machine.do("rm", "/etc/nginx/conf.d/broken.conf")
    tried_again(operator, number)
    removed(operator, number)


def test_something_is_where_the_socket_belongs(operator: Operator, machine: Machine) -> None:
    number = operator.add("instances", {"slug": "no-socket"})["id"]
    operator.settled(number)
    operator.change("instances", number, {"state": "stopped"})
    operator.settled(number)
    machine.do("mkdir", "-p", f"/run/openslides/sockets/{number}.sock")
    operator.change("instances", number, {"state": "active"})
    error = failed(operator, number)["error"]
    assert f"{number}.sock is in the way" in error
    machine.do("rmdir", f"/run/openslides/sockets/{number}.sock")
    tried_again(operator, number)
    removed(operator, number)


def test_an_openslides_that_cannot_start_shows_its_log(operator: Operator, machine: Machine) -> None:
    number = operator.add("instances", {"slug": "broken"})["id"]
    operator.settled(number)
    operator.change("instances", number, {"state": "stopped"})
    operator.settled(number)
    # Before OpenSlides' own server in Python's path.
    program = "/opt/openslides-multiinstance/app/deployers/openslides/inside/daphne.py"
    machine.do("install", "-m", "644", "/dev/stdin", program, stdin="raise RuntimeError('its server is broken')\n")
    try:
        operator.change("instances", number, {"state": "active"})
        attributes = failed(operator, number)
        assert attributes["failed_step"] == "wait until OpenSlides answers"
        assert "RuntimeError: its server is broken" in attributes["error"]
        assert "its process ended" in attributes["error"]
    finally:
        machine.do("rm", program)
    tried_again(operator, number)
    removed(operator, number)


def test_the_mode_path_is_refused_with_the_reason(operator: Operator) -> None:
    document = {"data": {"type": "instances", "attributes": {"slug": "below", "mode": "path"}}}
    answer = operator.send("POST", "/api/instances", document)
    assert answer.status in (400, 422), answer.text
    assert "subdomain" in answer.text
