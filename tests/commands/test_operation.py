"""Operations are listed, postponed and cancelled, and actions locked, on the command line."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from instances.choices import Outcome
from instances.models import ActionLock, Operation
from tests.factories import make_installed, make_operation

pytestmark = pytest.mark.django_db


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_what_waits_is_listed_and_can_be_cancelled() -> None:
    assert "Nothing is waiting" in said("operation", "list")
    operation = make_operation()
    assert str(operation.instance) in said("operation", "list")
    assert "is cancelled" in said("operation", "cancel", str(operation.pk))
    assert "Nothing is waiting" in said("operation", "list")
    assert "cancelled" in said("operation", "list", "--all", "--instance", operation.instance.slug)


@pytest.mark.parametrize("number", ["987654", str(2**70)])
def test_a_number_that_is_none_is_not_found(number: str) -> None:
    with pytest.raises(CommandError) as error:
        said("operation", "cancel", number)
    assert error.value.returncode == 3


def test_what_has_ended_cannot_be_cancelled() -> None:
    operation = make_operation(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    with pytest.raises(CommandError, match="ended already") as error:
        said("operation", "cancel", str(operation.pk))
    assert error.value.returncode == 1


def test_an_operation_can_be_postponed() -> None:
    instance = make_installed()
    assert "postponed until 2999-11-24 02:00" in said("instance", "stop", instance.slug, "--at", "2999-11-24 02:00")
    operation = Operation.objects.get()
    assert operation.status == Outcome.POSTPONED
    assert operation.not_before is not None
    assert timezone.localtime(operation.not_before).hour == 2
    assert "begins 2999-11-24 02:00" in said("operation", "list")


@pytest.mark.parametrize("text", ["2001-01-01 02:00", "tonight", "2999-13-01"])
def test_a_time_that_is_over_or_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"is over|is no time"):
        said("instance", "stop", make_installed().slug, "--at", text)


def test_actions_are_locked_with_a_reason_and_unlocked() -> None:
    instance = make_installed()
    assert "The assembly is on" in said(
        "lock", "add", instance.slug, "stop", "update", "--reason", "The assembly is on"
    )
    assert ActionLock.objects.count() == 2
    with pytest.raises(CommandError, match="The assembly is on"):
        said("instance", "stop", instance.slug)
    said("lock", "add", instance.slug, "all", "--reason", "Another reason")
    assert set(ActionLock.objects.values_list("reason", flat=True)) == {"Another reason"}
    assert "Nothing is locked" in said("lock", "remove", instance.slug, "all")
    with pytest.raises(CommandError, match="no such lock"):
        said("lock", "remove", instance.slug, "stop")


def test_a_postponed_one_can_begin_now() -> None:
    operation = make_operation(status=Outcome.POSTPONED, not_before=timezone.now() + timedelta(hours=8))
    assert "is filed" in said("operation", "begin", str(operation.pk))
    operation.refresh_from_db()
    assert operation.status == Outcome.QUEUED
    with pytest.raises(CommandError, match="not postponed any more"):
        said("operation", "begin", str(operation.pk))
