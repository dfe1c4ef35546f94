"""One database to a file in pg_dump's custom format, and back (postgresql.org/docs/15/app-pgdump.html).

As the control plane's role, which is a member of every instance's. Its password, if it has one, goes through a file
that only this user can read (libpq-pgpass.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployers.commands import run
from deployers.databases.postgresql_server import Server
from deployers.errors import CommandFailed, DumpRefused
from deployers.files import write_private

SECONDS = 3600.0
REFUSES = 1
"""With this exit code pg_restore ends for whatever reason; another one is a signal, or a program that is missing."""
TROUBLE = re.compile(
    r"connection to server|could not connect|server closed the connection|connection (was|to .*) lost|SSL |timeout"
    r"|terminating connection|shutting down|starting up|recovery mode|too many (clients|connections)|connection slots"
    r"|No space left|[Dd]isk (is )?full|[Oo]ut of (shared )?memory|could not (extend|fsync|write|open) file"
    r"|[Pp]ermission denied|must be (owner|superuser|member)|authentication failed|(role|database) \".*\" does not"
    r"|I/O error|Input/output error|error while loading shared libraries|canceling statement|deadlock detected"
)
"""What pg_restore prints when the server, the disk or the network failed it, and not the dump."""


def dump(server: Server, database: str, target: Path) -> None:
    """Raises CommandMissing, CommandFailed, CommandTimedOut."""
    with _environment(server, target) as environment:
        arguments = ["--format=custom", "--no-owner", "--no-acl", "--lock-wait-timeout=60s", f"--file={target}"]
        run(
            ["pg_dump", *_where(server, database), *arguments],
            log=lambda text: None,
            timeout=SECONDS,
            env=environment,
        )


def restore(server: Server, source: Path, database: str, owner: str) -> None:
    """Into a database without a table; all of it becomes the role ``owner``'s, or nothing is in it.

    Raises CommandMissing, CommandFailed (DumpRefused where what is in the dump is to blame), CommandTimedOut.
    """
    with _environment(server, source) as environment:
        arguments = ["--no-owner", "--no-acl", f"--role={owner}", "--single-transaction", "--exit-on-error"]
        try:
            run(
                ["pg_restore", *_where(server, database), *arguments, source],
                log=lambda text: None,
                timeout=SECONDS,
                env=environment,
            )
        except CommandFailed as error:
            if error.code == REFUSES and not TROUBLE.search(error.tail):
                raise DumpRefused(error.program, error.code, error.tail) from error
            raise


def _where(server: Server, database: str) -> list[str]:
    return [
        f"--host={server.host}",
        f"--port={server.port}",
        f"--username={server.user}",
        f"--dbname={database}",
        "--no-password",
    ]


@contextmanager
def _environment(server: Server, beside: Path) -> Iterator[dict[str, str]]:
    if not server.password:
        yield {}
        return
    passwords = beside.with_name(f"{beside.name}.pgpass")
    quoted = server.password.replace("\\", "\\\\").replace(":", "\\:")
    write_private(passwords, f"*:*:*:*:{quoted}\n")
    try:
        yield {"PGPASSFILE": str(passwords)}
    finally:
        passwords.unlink(missing_ok=True)
