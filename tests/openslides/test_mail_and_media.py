"""What OpenSlides gives to others to do: the relay sends its mail, nginx its files."""

from __future__ import annotations

import shutil
from email import message_from_bytes
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.openslides.conftest import Make
from tests.openslides.hosted import Visitor, new_directory

RELEASES = (("3.3", 1), ("2.3", 1))


class Relay:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


@pytest.mark.parametrize(("release", "workers"), RELEASES)
def test_mail_leaves_by_the_relays_socket(make: Make, release: str, workers: int) -> None:
    directory, relay = new_directory(), Relay()
    controller = UnixSocketController(relay, str(directory / "mail.sock"), ready_timeout=60)
    controller.start()
    try:
        instance = make(release, workers, mail_socket=directory / "mail.sock")
        instance.start(workers)
        visitor = Visitor(instance)
        assert visitor.login() == 200
        body = {
            "user_ids": [visitor.add_user("anna", "anna@example.org")],
            "subject": "Your account",
            "message": "Grüße an {name}, {url} {username}",
        }
        answer = visitor.post("/rest/users/user/mass_invite_email/", body)
        assert answer.status == 200, answer.body
        assert answer.json().get("data", answer.json())["count"] == 1, answer.json()
    finally:
        controller.stop()
        shutil.rmtree(directory)
    (envelope,) = relay.envelopes
    assert envelope.rcpt_tos == ["anna@example.org"]
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content)
    assert message["Subject"] == "Your account"
    assert "Grüße an Müller" in message.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_users_are_told_that_the_relay_is_down(make: Make, tmp_path: Path) -> None:
    instance = make("3.3", 1, mail_socket=tmp_path / "nobody-listens.sock")
    instance.start()
    visitor = Visitor(instance)
    assert visitor.login() == 200
    body = {"user_ids": [visitor.add_user("anna", "anna@example.org")], "subject": "x", "message": "x"}
    answer = visitor.post("/rest/users/user/mass_invite_email/", body)
    assert answer.status == 400
    assert b"Cannot connect to SMTP server" in answer.body
    assert visitor.who() == 1


@pytest.mark.parametrize(("release", "workers"), RELEASES)
def test_nginx_is_told_to_send_a_file_to_who_may_see_it(make: Make, release: str, workers: int) -> None:
    instance = make(release, workers)
    instance.start(workers)
    admin, stranger = Visitor(instance), Visitor(instance)
    assert admin.login() == 200
    path = admin.upload("Tagesordnung für alle.txt", b"1. Welcome\n")
    assert path.startswith(instance.profile.media_url)

    answer = admin.get(path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/plain")
    location = answer.headers["X-Accel-Redirect"]
    assert location.startswith("/internal-media/")
    assert location.isascii()
    assert (instance.media / unquote(location.removeprefix("/internal-media/"))).read_bytes() == b"1. Welcome\n"

    refused = stranger.get(path)
    assert refused.status == 403
    assert "X-Accel-Redirect" not in refused.headers
    assert admin.get(f"{instance.profile.media_url}nothing.txt").status == 404
    for outside in ("../settings.py", "%2e%2e/%2e%2e/settings.py", "..%2f..%2fsettings.py"):
        answer = admin.get(instance.profile.media_url + outside)
        assert b"SECRET_KEY" not in answer.body
        assert "X-Accel-Redirect" not in answer.headers


def test_other_answers_are_left_as_they_are(make: Make) -> None:
    instance = make("3.3")
    (instance.directory / "static").mkdir(exist_ok=True)
    (instance.directory / "static" / "instance-logo.png").write_bytes(b"\x89PNG logo")
    instance.start()
    answer = Visitor(instance).get("/instance-logo.png")
    assert (answer.status, answer.body) == (200, b"\x89PNG logo")
    assert "X-Accel-Redirect" not in answer.headers
