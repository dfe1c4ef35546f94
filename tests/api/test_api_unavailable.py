"""What is answered when the control plane itself cannot answer. With a real server that is down: tests/host."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import translation

from instances.api.handlers import server_error


def answer_to(path: str, error: Exception) -> HttpResponse:
    """What Django answers when a view raises this."""
    try:
        raise error
    except Exception:
        with translation.override("en"):
            answer = server_error(RequestFactory().get(path))
        assert isinstance(answer, HttpResponse)
        return answer


def test_a_database_that_is_away_is_told_as_something_that_passes() -> None:
    answer = answer_to("/api/instances", OperationalError("connection refused: password=secret"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/vnd.api+json"
    (error,) = json.loads(answer.content)["errors"]
    assert (error["status"], error["code"]) == ("503", "database_unavailable")
    assert "nothing was changed" in error["detail"]
    assert b"secret" not in answer.content


def test_the_page_for_people_loads_again_by_itself() -> None:
    answer = answer_to("/admin/", OperationalError("connection refused"))
    assert answer.status_code == 503
    assert 'http-equiv="refresh"' in answer.content.decode()
    assert "The database does not answer" in answer.content.decode()


def test_a_defect_of_ours_is_one() -> None:
    answer = answer_to("/admin/", KeyError("a defect"))
    assert answer.status_code == 500
    assert "The server failed" in answer.content.decode()
    assert "defect" not in answer.content.decode().replace("no defect", "")


@pytest.mark.django_db
def test_an_address_that_leads_nowhere_says_so_in_the_visitors_language() -> None:
    page = Client().get("/nothing", headers={"accept-language": "de"})
    assert page.status_code == 404
    assert "Hier ist nichts" in page.content.decode()
