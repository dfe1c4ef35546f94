"""Pages as a browser gets them, without the hashed names of static files that ``collectstatic`` makes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.factories import make_user


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture
def browser(db: None) -> Client:
    """Signed in as somebody who may do everything."""
    return signed_in(is_superuser=True)


def signed_in(*permissions: str, **values: Any) -> Client:
    client = Client()
    client.force_login(make_user(*permissions, **values))
    return client
