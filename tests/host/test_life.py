"""One instance of the real OpenSlides on a production host, from its creation over a reboot to its removal."""

from __future__ import annotations

import base64
import io
import itertools
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Visitor
from tests.host.operator import Operator
from tests.host.scan import left_behind, podman, traces
from tests.observing import wait_for

EVENT = 'Annual <b>assembly</b> "2026"'
IDLE_SECONDS = 60


@dataclass
class Party:
    """The instance, and what its creation told."""

    id: str
    attributes: dict[str, Any]
    visitor: Visitor

    def logged_in(self) -> Visitor:
        visitor = Visitor(self.visitor.machine, self.visitor.host)
        account = {"username": "admin", "password": self.attributes["superadmin_password"]}
        answer = visitor.post("/apps/users/login/", account)
        assert answer.status == 200, answer.text
        return visitor

    def config(self) -> dict[str, Any]:
        answer = self.logged_in().get("/rest/core/config/")
        assert answer.status == 200, answer.text
        return {item["key"]: item["value"] for item in answer.json()}

    def release(self) -> str:
        return str(self.visitor.get("/apps/core/version/").json()["openslides_version"])


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 16), (0, 90, 160)).save(stream, "PNG")
    return stream.getvalue()


def upload(operator: Operator, content: bytes) -> str:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="l.png"\r\nContent-Type: image/png\r\n\r\n'
    body += content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Accept": "application/json"}
    answer = operator.visitor.ask("POST", "/api/blobs", body, headers)
    assert answer.status == 201, answer.text
    return str(answer.json()["blobId"])


def prepared(operator: Operator, release: str) -> str:
    """The id of the version, which was registered by the set-up."""
    versions = operator.get("/api/osversions")["data"]
    return next(str(version["id"]) for version in versions if version["attributes"]["name"] == release)


def unit_state(machine: Machine, number: str) -> str:
    return machine.run("systemctl", "is-active", f"openslides_instance@{number}.service").output.strip()


@pytest.fixture(scope="class")
def party(machine: Machine, operator: Operator) -> Party:
    attributes = {
        "slug": "assembly",
        "event_name": EVENT,
        "idle_minutes": IDLE_SECONDS // 60,
        "projector_logo": upload(operator, png()),
    }
    version = {"osversion": {"data": {"type": "osversions", "id": prepared(operator, "3.2")}}}
    made = operator.add("instances", attributes, version)
    found = operator.settled(made["id"], 300)
    assert found["attributes"]["state"] == "active", operator.last_operation(made["id"])
    return Party(made["id"], found["attributes"], Visitor(machine, f"assembly.{DOMAIN}"))


class TestLife:
    """In this order."""

    def test_it_answers_over_https_with_the_generated_password(self, party: Party) -> None:
        assert party.attributes["url"] == f"https://assembly.{DOMAIN}/"
        assert party.attributes["db"] == "postgresql"
        assert party.config()["general_event_name"] == EVENT
        assert "OpenSlides" in party.visitor.get("/").text

    def test_http_leads_to_https(self, party: Party, machine: Machine) -> None:
        answer = Visitor(machine, party.visitor.host, tls=False).get("/x?y=1")
        assert (answer.status, answer.headers["location"]) == (301, f"https://{party.visitor.host}/x?y=1")

    def test_its_logo_is_shown(self, party: Party) -> None:
        path = party.config()["logo_projector_main"]["path"]
        answer = party.visitor.get(path)
        assert (answer.status, answer.body) == (200, png())

    def test_uploads_are_served_by_nginx_to_those_who_may_see_them(self, party: Party) -> None:
        content = b"text " * 600_000
        visitor = party.logged_in()
        path = wait_for("an upload", lambda: upload_media(visitor, content))
        seen = visitor.get(path)
        assert (seen.status, len(seen.body)) == (200, len(content))
        assert "x-accel-redirect" not in seen.headers
        assert party.visitor.get(path).status in (401, 403, 404)

    def test_containers_are_separated_from_the_host(self, party: Party, machine: Machine) -> None:
        process = machine.do("pgrep", "--newest", "--full", "daphne.cli.*/run/openslides/web").strip()
        status = machine.read(f"/proc/{process}/status")
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        uid = int(status.split("Uid:\t")[1].split()[0])
        assert uid >= 100_000
        assert machine.read(f"/proc/{process}/net/dev").count(":") == 1  # lo
        limit = machine.do("systemctl", "show", "--property=MemoryMax", f"openslides_instance@{party.id}.service")
        assert limit.strip() != "MemoryMax=infinity"

    def test_a_websocket_keeps_it_awake_and_then_it_sleeps(
        self, party: Party, machine: Machine, operator: Operator
    ) -> None:
        visitor = party.logged_in()
        connection = visitor.open()
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        key = base64.b64encode(b"0" * 16).decode()
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers |= {"Host": visitor.host, "Sec-WebSocket-Key": key, "Cookie": cookies}
        headers |= {"Origin": f"https://{visitor.host}"}
        connection.request("GET", "/ws/?change_id=0", headers=headers)
        assert connection.getresponse().status == 101
        time.sleep(IDLE_SECONDS + 8)
        assert unit_state(machine, party.id) == "active"
        used = datetime.fromisoformat(operator.instance(party.id)["attributes"]["last_used_at"])
        assert datetime.now(UTC) - used < timedelta(minutes=2)
        connection.close()
        operator.state_is(party.id, "sleeping", IDLE_SECONDS + 120)
        # It sleeps from when its socket waits for visitors; its processes may still be about to end.
        wait_for("its processes have ended", lambda: unit_state(machine, party.id) == "inactive", 120)
        assert f"openslides-{party.id}" not in podman(machine, "ps", "--all", "--format", "{{.Names}}")

    def test_one_request_wakes_it(self, party: Party, operator: Operator) -> None:
        assert party.release() == "3.2"
        assert party.config()["general_event_name"] == EVENT
        operator.state_is(party.id, "active")

    def test_a_stopped_one_says_that_it_is_inactive(self, party: Party, operator: Operator) -> None:
        operator.change("instances", party.id, {"state": "stopped"})
        operator.state_is(party.id, "stopped")
        for language, words in (("de", "nicht aktiv"), ("en", "Not active")):
            answer = party.visitor.get("/", {"Accept-Language": language})
            assert answer.status == 503
            assert words in answer.text
            assert "Annual &lt;b&gt;assembly&lt;/b&gt; &#34;2026&#34;" in answer.text
        assert party.visitor.get("/apps/core/version/").status == 503

    def test_a_started_one_answers_again(self, party: Party, operator: Operator) -> None:
        operator.change("instances", party.id, {"state": "active"})
        operator.settled(party.id)
        assert party.release() == "3.2"

    def test_an_update_keeps_its_data_and_announces_itself(self, party: Party, operator: Operator) -> None:
        target = {"osversion": {"data": {"type": "osversions", "id": prepared(operator, "3.3")}}}
        seen: list[str] = []
        done = threading.Event()

        def visit() -> None:
            visitor = Visitor(party.visitor.machine, party.visitor.host)
            while not done.wait(0.2):
                answer = visitor.get("/apps/core/version/", {"Accept-Language": "de"})
                updating = "Wird gerade aktualisiert" in answer.text and answer.headers["retry-after"] == "10"
                seen.append("updating" if answer.status == 503 and updating else str(answer.status))

        visiting = threading.Thread(target=visit)
        visiting.start()
        try:
            # A page of before and one of after are a part of what is told: neither is left to who comes first.
            wait_for("a page before the update", lambda: "200" in seen, 120)
            operator.change("instances", party.id, {}, target)
            found = operator.settled(party.id, 300)
            wait_for("a page after the update", lambda: seen[-1] == "200", 120)
        finally:
            done.set()
            visiting.join()
        # A request that was under way when the service stopped sees the page "starting", which reloads by itself.
        pages = (page for page in seen if page != "503")
        assert [page for page, _several in itertools.groupby(pages)] == ["200", "updating", "200"]
        assert found["attributes"]["state"] == "active", operator.last_operation(party.id)
        assert party.release() == "3.3"
        assert party.config()["general_event_name"] == EVENT

    def test_after_a_reboot_it_is_reachable_again_without_a_hand(
        self, party: Party, machine: Machine, operator: Operator
    ) -> None:
        # A domain whose certificate goes away while the machine is off must not keep nginx from starting.
        files = {"certificate": "/etc/ssl/going.pem", "certificate_key": "/etc/ssl/going.key"}
        openssl = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        machine.do(*openssl, "-subj", "/CN=going", "-out", files["certificate"], "-keyout", files["certificate_key"])
        going = operator.add("osdomains", {"domain": "going.test", **files})["id"]
        wait_for("nginx serves it", lambda: machine.run("test", "-e", f"/etc/nginx/openslides/{going}.conf").code == 0)
        machine.do("rm", *files.values())

        machine.reboot()

        def answers() -> bool:
            try:
                return party.visitor.get("/apps/core/version/").status == 200
            except OSError:
                return False

        wait_for("the instance answers after the reboot", answers, 300, every=1)
        assert party.config()["general_event_name"] == EVENT
        operator.state_is(party.id, "active")
        assert machine.run("test", "-e", f"/etc/nginx/openslides/{going}.conf").code != 0
        operator.remove("osdomains", going)

    def test_always_on_keeps_it_awake_without_traffic(self, party: Party, machine: Machine, operator: Operator) -> None:
        operator.change("instances", party.id, {"always_on": True})
        operator.settled(party.id)
        machine.do("systemctl", "stop", f"openslides_instance_proxy@{party.id}.service")
        time.sleep(2)
        assert unit_state(machine, party.id) == "active"
        machine.do("systemctl", "kill", "--signal=KILL", f"openslides_instance@{party.id}.service")
        wait_for("it is up again", lambda: unit_state(machine, party.id) == "active", 180)
        operator.change("instances", party.id, {"always_on": False})
        operator.settled(party.id)

    def test_nothing_of_a_removed_one_is_left(self, party: Party, machine: Machine, operator: Operator) -> None:
        assert traces(machine, party.id)
        operator.remove("instances", party.id)
        wait_for("it is removed", lambda: operator.send("GET", f"/api/instances/{party.id}").status == 404)
        assert left_behind(machine, party.id) == set()
        assert party.visitor.get("/").status == 404


def upload_media(visitor: Visitor, content: bytes, name: str = "big.txt") -> str | None:
    """The path of an uploaded file; None while OpenSlides does not list it yet."""
    token = visitor.cookies.get("OpenSlidesCsrfToken", "")
    head = f'--x\r\nContent-Disposition: form-data; name="mediafile"; filename="{name}"\r\n'.encode()
    body = head + b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n"
    body += f'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n{name}\r\n--x--\r\n'.encode()
    headers = {
        "Content-Type": "multipart/form-data; boundary=x",
        "X-CSRFToken": token,
        "Referer": f"https://{visitor.host}/",
    }
    answer = visitor.ask("POST", "/rest/mediafiles/mediafile/", body, headers)
    assert answer.status == 201, f"{answer.status} {answer.text[:500]} {visitor.cookies}"
    listed = visitor.get("/rest/mediafiles/mediafile/").json()
    return f"/media/{listed[0]['path']}" if listed else None
