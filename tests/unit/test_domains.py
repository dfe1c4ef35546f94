"""A domain that is added or deleted is brought to the hosts that have a web server in front."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from django.conf import settings
from django.db.models import ProtectedError
from django.test import TestCase

from instances import domains, tasks
from instances.choices import HostKind
from instances.models import Domain
from tests.factories import make_domain, make_host, make_instance

pytestmark = pytest.mark.django_db


def sent() -> list[tuple[str, list[Any]]]:
    """Task and arguments of all messages in the folder broker, in no order."""
    found = []
    for path in settings.BROKER_FOLDER.glob("*.msg"):
        message = json.loads(path.read_text())
        found.append((message["headers"]["task"], json.loads(b64decode(message["body"]))[0]))
    return found


def test_only_hosts_with_a_web_server_hear_of_it() -> None:
    make_host()
    make_host(kind=HostKind.SYSTEMD)
    domain = make_domain()
    with TestCase.captureOnCommitCallbacks(execute=True):
        domains.open_on_hosts(domain)
    assert [entry for entry in sent() if entry[1][-1] == domain.pk] == [
        ("instances.open_domain", [HostKind.SYSTEMD, domain.pk])
    ]


def test_a_deleted_one_is_closed_by_its_number_because_its_row_is_gone() -> None:
    make_host(kind=HostKind.SYSTEMD)
    domain = make_domain()
    number, name = domain.pk, domain.domain
    with TestCase.captureOnCommitCallbacks(execute=True):
        domains.delete(domain)
    assert ("instances.close_domain", [HostKind.SYSTEMD, number, name]) in sent()


def test_one_with_instances_is_not_deleted() -> None:
    instance = make_instance()
    with pytest.raises(ProtectedError):
        domains.delete(instance.domain)


def test_what_keeps_a_host_from_serving_it_is_written_into_its_row() -> None:
    domain = make_domain()
    tasks.open_domain(HostKind.SYSTEMD, domain.pk)
    assert "not supported by this installation" in Domain.objects.get(pk=domain.pk).problem


def test_a_host_that_serves_it_takes_the_problem_away() -> None:
    domain = make_domain(problem="The certificate was missing.")
    tasks.open_domain(HostKind.EMBEDDED, domain.pk)
    assert Domain.objects.get(pk=domain.pk).problem == ""


def test_a_message_that_comes_after_the_row_was_deleted_is_no_error() -> None:
    tasks.open_domain(HostKind.EMBEDDED, 999)
