"""Whether an OpenSlides that was changed is well: it answers as its clients ask it, and the data are still there."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping

from deployers.databases.database import Database
from deployers.errors import Unhealthy
from deployers.parts import Parts
from deployers.plan import Log
from deployers.readiness import connection_to
from deployers.spec import InstanceSpec, VersionSpec

REQUEST_SECONDS = 20.0


def count_rows(database: Database, tables: Iterable[str]) -> dict[str, int]:
    """Rows of each table. Raises DatabaseUnusable."""
    return {table: database.count(table) for table in tables}


def check_health(parts: Parts, spec: InstanceSpec, version: VersionSpec, rows: Mapping[str, int], log: Log) -> None:
    """Ask for the log-in page and the server's time, and compare the database with ``rows``, as it was before.

    More rows than before are well: a migration may make some, and people may be at work already. Raises Unhealthy.
    """
    profile = parts.profile(version)
    login = _get(parts, spec, profile.login_path)
    if "openslides" not in login.lower():
        raise Unhealthy("the log-in page is not OpenSlides'")
    time = _get(parts, spec, profile.server_time_path)
    try:
        float(time)
    except ValueError:
        raise Unhealthy(f"{profile.server_time_path} answers no time") from None
    log("The log-in page and the server's time are there.\n")
    database = parts.database(spec).instance(spec.id)
    for table, before in rows.items():
        now = database.count(table)
        log(f"{table}: {before} rows before, {now} now\n")
        if now < before:
            raise Unhealthy(f"the table {table} had {before} rows before, and has {now} now")


def _get(parts: Parts, spec: InstanceSpec, path: str) -> str:
    """Raises Unhealthy."""
    connection = connection_to(parts.router.front(spec), REQUEST_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{path} does not answer ({error or type(error).__name__})") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Unhealthy(f"{path} answers {answer.status}")
    return body.decode("utf-8", "replace")
