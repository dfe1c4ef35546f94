"""The folder broker: a message is there completely or not at all, and one that is damaged stops nobody."""

from __future__ import annotations

from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from multiinstance.broker import Channel


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    folder = str(tmp_path)
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}/control"}
    connection = Connection("filesystem://x", transport="multiinstance.broker:Transport", transport_options=options)
    opened = connection.channel()
    assert isinstance(opened, Channel)
    return opened


def test_messages_of_a_queue_come_once_and_in_order(channel: Channel, tmp_path: Path) -> None:
    channel._put("other", {"number": 0})
    (tmp_path / "1_a.control.msg").write_text('{"number": 1}')
    (tmp_path / "2_b.control.msg").write_text('{"number": 2}')
    assert [channel._get("control")["number"] for _ in range(2)] == [1, 2]
    with pytest.raises(Empty):
        channel._get("control")
    assert channel._get("other") == {"number": 0}


def test_a_half_written_message_is_dropped_and_the_next_one_comes(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "1_a.control.msg").write_text('{"numb')
    (tmp_path / "2_b.control.msg").write_text('{"number": 2}')
    assert channel._get("control") == {"number": 2}
    assert not list(tmp_path.glob("*.msg"))
