"""The broker's folder: a message is there completely or not at all, and only one worker gets it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty

import pytest
from celery import current_app
from kombu import Connection, Exchange, Queue

from multiinstance.broker import Channel, Transport
from tests.conftest import PROJECT
from tests.observing import wait_for

MESSAGES = 500
SENDER = """
import sys
from tests.unit.test_broker import MESSAGES, connection
with connection(sys.argv[1]) as broker:
    for number in range(MESSAGES):
        broker.default_channel._put("work", {"number": number, "body": "x" * 1000})
"""


def connection(folder: str | Path) -> Connection:
    return Connection(
        "filesystem://",
        transport=Transport,
        transport_options={
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(Path(folder) / "control"),
        },
    )


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with connection(tmp_path) as broker:
        yield broker.default_channel


def take(channel: Channel) -> dict[str, object] | None:
    try:
        return channel._get("work")
    except Empty:
        return None


def messages_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()]


def test_a_receiver_never_meets_half_a_message(channel: Channel, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SENDER, str(tmp_path)], cwd=PROJECT) as sender:
        received = [
            wait_for(f"message {number}", lambda: take(channel), every=0.0001)["number"] for number in range(MESSAGES)
        ]
    assert sender.returncode == 0
    assert sorted(received) == list(range(MESSAGES))
    assert messages_in(tmp_path) == []


def test_of_several_receivers_one_gets_a_message(channel: Channel, tmp_path: Path) -> None:
    for number in range(200):
        channel._put("work", {"number": number})

    def receive_all(_: int) -> list[object]:
        with connection(tmp_path) as broker:
            found = []
            while (message := take(broker.default_channel)) is not None:
                found.append(message["number"])
            return found

    with ThreadPoolExecutor(4) as receivers:
        received = [number for numbers in receivers.map(receive_all, range(4)) for number in numbers]
    assert sorted(received) == list(range(200))


def test_a_damaged_message_is_dropped_and_the_next_one_is_received(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "0_power-cut.work.msg").touch()
    (tmp_path / "0_disk-full.work.msg").write_text('{"numb')
    channel._put("work", {"number": 1})
    assert take(channel) == {"number": 1}
    assert messages_in(tmp_path) == []


def test_a_message_of_another_queue_stays(channel: Channel, tmp_path: Path) -> None:
    channel._put("other.work", {})
    assert take(channel) is None
    assert len(messages_in(tmp_path)) == 1


def test_it_is_the_one_that_celery_uses() -> None:
    with current_app.connection_for_write() as broker:
        assert isinstance(broker.transport, Transport)


def test_receivers_that_begin_at_the_same_time_all_bind_their_queue(tmp_path: Path) -> None:
    exchange = Exchange("shared", "fanout")

    def bind(number: int) -> None:
        with connection(tmp_path) as broker:
            Queue(f"queue-{number}", exchange)(broker.default_channel).declare()
            broker.default_channel.get_table("shared")

    with ThreadPoolExecutor(8) as receivers:
        list(receivers.map(bind, range(24)))
    with connection(tmp_path) as broker:
        assert len(broker.default_channel.get_table("shared")) == 24
