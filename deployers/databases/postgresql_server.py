"""The connection to a PostgreSQL server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from deployers import interruption
from deployers.databases.postgresql_errors import unusable
from deployers.plan import STEP_SECONDS

logger = logging.getLogger(__name__)

OPTIONS = f"-c lock_timeout=60s -c statement_timeout={STEP_SECONDS:.0f}s"
"""Sent with the connection: a step must fail, not wait for ever, where somebody holds a lock, or the server does not
come to an end. A step that may take less time ends its statement itself."""
SILENT_SECONDS = 60
"""A server is gone whose machine or network does not answer for so long (tcp(7)). Unix sockets do not need it, and
libpq leaves it out there."""


@dataclass(frozen=True, slots=True)
class Server:
    """How the control plane reaches PostgreSQL, and (``instance_host``) instances do: a directory of unix sockets."""

    host: str
    user: str
    database: str
    port: int = 5432
    password: str = field(default="", repr=False)
    instance_host: str = "/run/postgresql"

    @contextmanager
    def connection(self, database: str = "") -> Iterator[Connection]:
        """An open connection in autocommit mode, whose statement ends when the step is ended.

        Raises DatabaseServerUnusable for whatever goes wrong inside, Interrupted.
        """
        name = database or self.database
        bell = interruption.current()
        try:
            connection = psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password or None,
                dbname=name,
                application_name="openslides-multiinstance",
                connect_timeout=10,
                options=OPTIONS,
                keepalives_idle=SILENT_SECONDS // 2,
                keepalives_interval=SILENT_SECONDS // 6,
                keepalives_count=3,
                tcp_user_timeout=SILENT_SECONDS * 1000,
            )
            with closing(connection), bell.calls(lambda: _cancel(connection)) if bell else nullcontext():
                connection.autocommit = True
                yield connection
        except psycopg2.Error as error:
            interruption.check()
            raise unusable(name, error) from error


def _cancel(connection: Connection) -> None:
    """End what the server does for the connection. In a thread of its own: it asks the server by another connection,
    and who rings (the thread that beats for the operation) does not wait for that."""

    def cancel() -> None:
        try:
            connection.cancel()
        except psycopg2.Error as error:
            logger.info("A statement could not be cancelled: %s", error)

    threading.Thread(target=cancel, name="cancel-statement", daemon=True).start()
