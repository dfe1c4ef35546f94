"""A real PostgreSQL with the accounts and the pg_hba.conf of a production host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from deployers.databases.postgresql import GROUP, PostgresDatabase, PostgresServer
from deployers.databases.postgresql_server import Server
from tests.databases.postgres import Made, make, new_version, prepare
from tests.postgresql import cluster
from tests.tools import require

RULES = f"""
local all tests trust
local all openslides trust
local samerole +{GROUP} scram-sha-256
local all +{GROUP} reject
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    require("initdb", "postgresql")
    with cluster() as url:
        directory = url.split(":5432/", 1)[1].removesuffix("/postgres")
        admin = psycopg2.connect(host=directory, user="tests", dbname="postgres")
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("CREATE ROLE openslides LOGIN CREATEDB CREATEROLE NOSUPERUSER")
            cursor.execute(f"CREATE ROLE {GROUP} NOLOGIN ADMIN openslides")
            cursor.execute("CREATE DATABASE multiinstance OWNER openslides")
            rules = Path(directory, "data", "pg_hba.conf")
            rules.write_text(RULES)
            owner = Path(directory, "data").stat()
            os.chown(rules, owner.st_uid, owner.st_gid)
            cursor.execute("SELECT pg_reload_conf()")
        admin.close()
        yield Server(host=directory, user="openslides", database="multiinstance", instance_host=directory)


@pytest.fixture
def postgres(server: Server) -> PostgresServer:
    return PostgresServer(server)


@pytest.fixture
def template(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    made = prepare(postgres, new_version())
    yield made
    postgres.drop(made)


@pytest.fixture
def one(postgres: PostgresServer, template: PostgresDatabase) -> Iterator[Made]:
    made = make(postgres, template)
    yield made
    postgres.forget(made.id)
