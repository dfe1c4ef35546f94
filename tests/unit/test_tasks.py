"""What is sent again and again: it does not expire before another machine can begin it, and does not pile up."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances import looks, tasks
from instances.models import Host
from tests.factories import make_host

A_CLOCK_THAT_IS_AHEAD = timedelta(seconds=30)


def sent_since(settings: Settings, before: set[Path]) -> list[dict[str, str]]:
    """The headers of the messages in the folder of the broker."""
    new = set(settings.BROKER_FOLDER.glob("*.msg")) - before
    return [json.loads(path.read_text())["headers"] for path in new]


@pytest.mark.django_db(transaction=True)
def test_a_look_has_not_expired_on_a_host_whose_clock_is_ahead(settings: Settings) -> None:
    make_host()
    before = set(settings.BROKER_FOLDER.glob("*.msg"))
    tasks.look_after_hosts()
    (headers,) = sent_since(settings, before)
    assert headers["task"] == "instances.look_after_host"
    assert datetime.fromisoformat(headers["expires"]) > timezone.now() + A_CLOCK_THAT_IS_AHEAD


def test_nothing_that_beat_sends_has_expired_on_a_machine_whose_clock_is_ahead(settings: Settings) -> None:
    expires = [entry.get("options", {}).get("expires") for entry in settings.CELERY_BEAT_SCHEDULE.values()]
    assert all(seconds is None or timedelta(seconds=seconds) > A_CLOCK_THAT_IS_AHEAD for seconds in expires)


@pytest.mark.django_db(transaction=True)
def test_a_look_that_comes_while_another_is_under_way_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    host, other = make_host(), make_host()
    begun, over, looked = threading.Event(), threading.Event(), []

    def slow(looked_at: Host) -> None:
        looked.append(looked_at)
        if looked_at == host:
            begun.set()
            over.wait(120)

    def look() -> None:
        tasks.look_after_host(host.pk)
        connection.close()

    monkeypatch.setattr(looks, "look_after", slow)
    thread = threading.Thread(target=look)
    thread.start()
    assert begun.wait(120)
    tasks.look_after_host(host.pk)
    tasks.look_after_host(other.pk)
    assert looked == [host, other]
    over.set()
    thread.join()
    tasks.look_after_host(host.pk)
    assert looked == [host, other, host]
