"""Several processes behind one unix socket."""

from __future__ import annotations

import pytest

from tests.openslides.conftest import Make
from tests.openslides.hosted import Visitor


@pytest.mark.parametrize(("release", "workers"), [("3.3", 1), ("3.3", 3), ("2.3", 1), ("2.3", 3)])
def test_a_user_logs_in(make: Make, release: str, workers: int) -> None:
    instance = make(release, workers)
    instance.start(workers)
    visitor = Visitor(instance)
    assert visitor.login(password="wrong") == 400
    assert visitor.login() == 200
    assert {visitor.who() for _ in range(12)} == {1}
    with visitor.websocket() as stream:
        assert "general_event_name" in stream.message()
    assert instance.stop() == 0
