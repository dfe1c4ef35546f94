"""Kombu's folder transport, with messages that are there completely or not at all.

Kombu's own creates a message's file, and then writes it: a worker that looks in between reads an empty message, which
ends it (github.com/celery/kombu/issues/1551). It also moves every message to the system's temporary directory first.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from multiinstance.secret_file import write_once

logger = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """What lies in the folder is named as kombu does it: MILLISECONDS_UUID.QUEUE.msg, so the oldest comes first."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        """Raises ChannelError when the folder cannot be written."""
        file = Path(self.data_folder_out) / f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        try:
            write_once(file, dumps(payload))
        except OSError as error:
            raise ChannelError(f"{file} cannot be written: {error.strerror}") from error

    def _get(self, queue: str) -> Any:
        """The oldest message, which nobody else gets: unlink(2) succeeds for one only. Raises Empty."""
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            file = Path(self.data_folder_in) / name
            try:
                content = file.read_bytes()
                file.unlink()
            except FileNotFoundError:
                continue  # another worker was faster
            try:
                return loads(bytes_to_str(content))
            except ValueError:
                # After a power cut. Its row is there, and the periodic look sends what was lost.
                logger.warning("The message %s is damaged and was dropped.", name)
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Kombu's, which writes under a lock, but for a file that it makes itself."""
        file = self._exchange_file(exchange)
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            write_once(file, "[]")
        super()._queue_bind(exchange, routing_key, pattern, queue)


class Transport(filesystem.Transport):
    """For ``CELERY_BROKER_TRANSPORT``."""

    Channel = Channel
