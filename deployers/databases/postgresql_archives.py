"""One database to a file in pg_dump's custom format, and back (postgresql.org/docs/15/app-pgdump.html).

As the control plane's role, which is a member of every instance's. Its password, if it has one, goes through a file
that only this user can read (libpq-pgpass.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployers.commands import run
from deployers.databases.postgresql_server import Server
from deployers.files import write_private

SECONDS = 3600.0


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

    Raises CommandMissing, CommandFailed, CommandTimedOut.
    """
    with _environment(server, source) as environment:
        arguments = ["--no-owner", "--no-acl", f"--role={owner}", "--single-transaction", "--exit-on-error"]
        run(
            ["pg_restore", *_where(server, database), *arguments, source],
            log=lambda text: None,
            timeout=SECONDS,
            env=environment,
        )


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
