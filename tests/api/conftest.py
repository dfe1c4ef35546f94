"""Users of the API, and a place where an instance can go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from instances.models import Domain, Host, Version
from tests.api.client import Api
from tests.factories import PASSWORD, make_domain, make_host, make_version


@pytest.fixture
def api(db: None) -> Api:
    """A superuser's."""
    return Api(get_user_model().objects.create_superuser("superuser", password=PASSWORD))


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path) -> Iterator[Path]:
    """Where uploaded pictures go: a directory of the test's own."""
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def host(db: None) -> Host:
    return make_host()


@pytest.fixture
def domain(db: None) -> Domain:
    return make_domain(domain="localhost", default=True)


@pytest.fixture
def version(db: None) -> Version:
    return make_version(name="3.3", default=True)
