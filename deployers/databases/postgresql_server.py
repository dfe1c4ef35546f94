"""The connection to a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from deployers.databases.postgresql_errors import unusable

OPTIONS = "-c lock_timeout=60s"
"""Sent with the connection: a step must fail, not wait for ever, where somebody holds a lock."""


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
        """An open connection in autocommit mode. Raises DatabaseServerUnusable for whatever goes wrong inside."""
        name = database or self.database
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
            )
            with closing(connection):
                connection.autocommit = True
                yield connection
        except psycopg2.Error as error:
            raise unusable(name, error) from error
