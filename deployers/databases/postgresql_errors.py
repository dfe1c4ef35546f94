"""What PostgreSQL refuses, as an error that tells an operator what to do.

Source: postgresql.org, "PostgreSQL Error Codes". A connection that was never made has no code, only words.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from deployers.errors import DatabaseServerUnusable

NOT_SET_UP = "Set the machine up again: sudo make host (docs/production.md)."
TOO_MANY = (
    "All its connections are in use. Raise postgresql_max_connections in the host's parameters and run sudo make host, "
    "or stop instances; then try again."
)
ADVICE = {
    "3D000": "If a version's template is missing, prepare the version again; bring an instance's back from a backup.",
    "42501": NOT_SET_UP,
    "42704": NOT_SET_UP,
    "53100": "Make room on the file system of /var/lib/postgresql (df -h), then try again.",
    "53200": "The machine has no memory left (free -h). Stop instances, then try again.",
    "53300": TOO_MANY,
    "55006": "End the program that uses it (a psql, a backup), then try again.",
    "55P03": "End the program that uses it (a psql, a backup), then try again.",
    "57P01": "It is being restarted. Try again.",
    "57P02": "It is being restarted. Try again.",
    "57P03": "It is being started. Try again.",
    "XX001": "Its files are damaged: bring the database back from a backup.",
    "XX002": "Its files are damaged: bring the database back from a backup.",
}
DOWN = (
    "Check that it runs (systemctl status postgresql) and start it (sudo systemctl start postgresql), then try again."
)
GENERAL = "Check that it runs (systemctl status postgresql) and has room (df -h), then try again."
WORDS = (
    ("too many c", "53300"),
    ("connection slots are reserved", "53300"),
    ("starting up", "57P03"),
    ("shutting down", "57P01"),
    ("FATAL: role", "42704"),
    ("authentication failed", "42501"),
    ("pg_hba.conf", "42501"),
    ("FATAL: database", "3D000"),
)
"""By what a connection was refused; in English, as the set-up makes the cluster."""
OF_THE_CONTENTS = ("42P01", "42703")
"""A table or a column is missing: so says the database itself, wherever it lies."""
TELLING = ("55006", "2BP01")
"""What is in the way is said in the detail. Other details hold values of rows."""


@dataclass(eq=False)
class PostgresUnusable(DatabaseServerUnusable):
    """``advice``: what to do about it."""

    advice: str = GENERAL

    def __str__(self) -> str:
        return f"PostgreSQL, database {self.database}: {self.reason.rstrip('.')}. {self.advice}"


def unusable(database: str, error: psycopg2.Error) -> PostgresUnusable:
    """Never the statement: libpq repeats a part of it, and it may have a password's verifier in it."""
    code, details = error.pgcode, error.diag
    reason = details.message_primary or str(error)
    if code in TELLING and details.message_detail:
        reason = f"{reason.rstrip('.')} ({details.message_detail.rstrip('.')})"
    reason = " ".join(reason.split())
    if code is None:
        code = next((meant for words, meant in WORDS if words in reason), None)
        return PostgresUnusable(database, reason, advice=DOWN if code is None else ADVICE[code])
    return PostgresUnusable(database, reason, code in OF_THE_CONTENTS, ADVICE.get(code, GENERAL))
