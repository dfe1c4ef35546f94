"""A test mail goes out with the instance's own settings, to a real SMTP server."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from deployers.errors import DeployError
from deployers.mail import Mail
from tests.deployers.host import Host, run
from tests.observing import free_port


class Inbox:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    kept, port = Inbox(), free_port()
    controller = Controller(kept, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    yield kept, port
    controller.stop()


def test_it_arrives_at_the_relay_of_the_settings(host: Host, inbox: tuple[Inbox, int]) -> None:
    kept, port = inbox
    host.use(mail=Mail("127.0.0.1", port))
    spec = host.create()
    run(host.deployer.send_test_mail(spec, "chair@example.org"))
    run(host.deployer.remove(spec))
    assert [mail.rcpt_tos for mail in kept.mails] == [["chair@example.org"]]
    assert "Test email" in message_from_bytes(kept.mails[0].content)["Subject"]


def test_a_relay_that_does_not_answer_is_said(host: Host) -> None:
    host.use(mail=Mail("127.0.0.1", free_port()))
    spec = host.create()
    with pytest.raises(DeployError, match="Connection refused"):
        run(host.deployer.send_test_mail(spec, "chair@example.org"))
    run(host.deployer.remove(spec))
