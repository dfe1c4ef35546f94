"""An instance's account in Redis, through clients that are older than accounts."""

from __future__ import annotations

import json
import secrets
import time

import psycopg2
import pytest

from tests.openslides.conftest import Make, Redis, Running
from tests.openslides.hosted import Instance, Visitor

RELEASES = ("3.3", "2.3")


def prefix(instance: Instance) -> str:
    assert instance.redis is not None
    return instance.redis.prefix


def write(instance: Instance, key: str, value: object) -> None:
    """A row of OpenSlides' configuration, as the control plane writes it."""
    connection = psycopg2.connect(
        host=instance.database["HOST"], user=instance.database["USER"], dbname=instance.database["NAME"]
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE core_configstore SET value = %s WHERE key = %s", [json.dumps(value), key])
        assert cursor.rowcount == 1
    connection.close()


def event_name(visitor: Visitor) -> str:
    rows = visitor.get("/rest/core/config/").json()
    return next(str(row["value"]) for row in rows if row["key"] == "general_event_name")


@pytest.mark.parametrize("release", RELEASES)
def test_all_keys_lie_under_the_prefix(running: Running, redis_server: Redis, release: str) -> None:
    instance = running(release)
    visitor = Visitor(instance)
    assert visitor.login() == 200
    with visitor.websocket() as stream:
        stream.message()
        assert visitor.put("/rest/core/config/general_event_date/", {"value": f"{time.time()}"}).status == 200
        stream.message()
        keys = [key.decode() for key in redis_server.control.keys("*")]
    assert [key for key in keys if key.startswith(prefix(instance) + "session")]
    assert [key for key in keys if ":asgi" in key and key.startswith(prefix(instance))]
    assert not [key for key in keys if not key.startswith("openslides-")]


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_that_openslides_does_is_refused(running: Running, redis_server: Redis, release: str) -> None:
    redis_server.control.execute_command("ACL", "LOG", "RESET")
    instance = running(release)
    visitor = Visitor(instance)
    assert visitor.login() == 200
    with visitor.websocket() as stream:
        stream.message()
        groups = visitor.get("/rest/users/group/").json()
        answer = visitor.put(f"/rest/users/group/{groups[-1]['id']}/", groups[-1])
        assert answer.status == 200, answer.body
        visitor.post("/rest/users/user/", {"username": secrets.token_hex(4), "groups_id": []})
        stream.message()
    assert visitor.post(f"{visitor.apps}/users/logout/", {}).status == 200
    assert visitor.who() is None
    assert redis_server.control.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize("release", RELEASES)
def test_keys_of_others_are_refused(running: Running, release: str) -> None:
    instance = running(release)
    tried = (
        "import django, redis; django.setup()\n"
        "from openslides_host.redis_client import pool\n"
        "client = redis.StrictRedis(connection_pool=pool())\n"
        "for arguments in ('GET', 'another'), ('SET', 'openslides-0:x', '1'), ('KEYS', '*'), ('SCAN', '0'):\n"
        "    try: print(client.execute_command(*arguments))\n"
        "    except redis.ResponseError as error: print(str(error).split()[0])\n"
    )
    assert instance.run("-c", tried).split()[-4:] == ["NOPERM"] * 4


@pytest.mark.parametrize(("release", "workers"), [("3.3", 2), ("2.3", 1)])
def test_a_start_begins_with_what_the_database_says(
    make: Make, redis_server: Redis, release: str, workers: int
) -> None:
    instance = make(release, workers)
    instance.start(workers)
    visitor = Visitor(instance)
    assert visitor.login() == 200
    assert event_name(visitor) == "OpenSlides"
    instance.stop()
    write(instance, "general_event_name", "Renamed meanwhile")
    # As a process leaves it that is killed while it builds the cache; all others would wait for it.
    redis_server.control.set(f"{prefix(instance)}lock_build_cache", "1")
    instance.start(workers)
    assert event_name(visitor) == "Renamed meanwhile"
    assert visitor.who() == 1, "sessions outlive the processes"


def test_openslides_3_empties_its_own_cache_only(running: Running, redis_server: Redis) -> None:
    instance = running("3.3")
    redis_server.control.set("openslides-other", "stays")
    redis_server.control.set(f"{prefix(instance)}session:x", "stays")
    emptied = (
        "import django; django.setup()\n"
        "from asgiref.sync import async_to_sync\n"
        "from openslides.utils.cache import element_cache\n"
        "async_to_sync(element_cache.cache_provider.clear_cache)()\n"
    )
    assert redis_server.control.exists(f"{prefix(instance)}full_data")
    instance.run("-c", emptied)
    assert not redis_server.control.exists(f"{prefix(instance)}full_data")
    assert redis_server.control.get("openslides-other") == b"stays"
    assert redis_server.control.get(f"{prefix(instance)}session:x") == b"stays"
    redis_server.control.delete("openslides-other", f"{prefix(instance)}session:x")
    visitor = Visitor(instance)
    assert visitor.login() == 200
    assert event_name(visitor) == "OpenSlides"
