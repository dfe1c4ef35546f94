"""Operations are cancelled and actions locked in the admin; what needs attention says so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from instances import claims, operations
from instances.choices import Desired, OperationKind, Origin, Outcome
from instances.models import ActionLock, Operation
from instances.operations import Request
from tests.factories import make_backup, make_installed, make_operation, make_user, make_version

pytestmark = pytest.mark.django_db


def page(operation: Operation, name: str = "change") -> str:
    return f"/admin/instances/operation/{operation.pk}/{name}/"


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_waiting_operation_is_cancelled_after_a_question(admin_client: Client) -> None:
    operation = make_operation()
    assert page(operation, "cancel") in text(admin_client, page(operation))
    assert "has not begun" in text(admin_client, page(operation, "cancel"))
    admin_client.post(page(operation, "cancel"))
    operation.refresh_from_db()
    assert operation.status == Outcome.CANCELLED
    assert "admin" in operation.error
    assert page(operation, "cancel") not in text(admin_client, page(operation))
    assert "ended already" in text(admin_client, page(operation, "cancel"))


def test_a_running_one_says_that_it_is_being_cancelled(admin_client: Client) -> None:
    operation = make_operation()
    claims.take(operation.pk)
    admin_client.post(page(operation, "cancel"))
    assert "Is being cancelled." in text(admin_client, page(operation))


def test_one_without_a_way_back_says_so(admin_client: Client) -> None:
    operation = make_operation(status=Outcome.RUNNING, is_final=True)
    assert page(operation, "cancel") not in text(admin_client, page(operation))
    answer = admin_client.post(page(operation, "cancel"), follow=True)
    assert "no way back" in answer.content.decode()


def test_who_may_not_change_instances_cancels_nothing(client: Client) -> None:
    operation = make_operation()
    client.force_login(make_user("view_operation"))
    assert page(operation, "cancel") not in text(client, page(operation))
    assert client.post(page(operation, "cancel")).status_code == 403


def test_a_postponed_one_says_when_it_begins(admin_client: Client) -> None:
    instance = make_installed()
    tonight = timezone.now() + timedelta(hours=8)
    operation = operations.stop(instance, Request(Origin.ADMIN, not_before=tonight))
    shown = text(admin_client, f"/admin/instances/instance/{instance.pk}/change/")
    assert "Postponed: it begins on" in shown
    assert page(operation, "cancel") in shown


def test_the_downtime_of_an_update_is_shown(admin_client: Client) -> None:
    operation = make_operation(status=Outcome.SUCCEEDED, finished_at=timezone.now(), down_seconds=3.4)
    assert "did not answer for 3.4" in text(admin_client, page(operation))


def test_an_action_is_locked_and_unlocked_from_the_instance_s_page(admin_client: Client) -> None:
    instance = make_installed()
    own = f"/admin/instances/instance/{instance.pk}/change/"
    add = f"/admin/instances/actionlock/add/?instance={instance.pk}"
    assert add in text(admin_client, own)
    values = {"instance": instance.pk, "action": OperationKind.STOP, "reason": "The assembly is on"}
    answer = admin_client.post(add, values)
    assert answer.headers["Location"] == own
    lock = ActionLock.objects.get()
    assert str(lock.locked_by) == "admin"
    assert "The assembly is on" in text(admin_client, own)
    assert "The assembly is on" in text(admin_client, "/admin/instances/actionlock/")
    answer = admin_client.post(f"/admin/instances/instance/{instance.pk}/stop/", follow=True)
    assert "Unlock it first" in answer.content.decode()
    assert not Operation.objects.exists()
    admin_client.post(f"/admin/instances/actionlock/{lock.pk}/delete/", {"post": "yes"})
    text(admin_client, own)  # with the message that it was deleted
    assert "The assembly is on" not in text(admin_client, own)


@pytest.mark.parametrize(
    ("action", "way", "values"),
    [
        ("start", "start", {"desired_state": Desired.STOPPED}),
        ("stop", "stop", {}),
        ("update", "update", {}),
        ("remove", "delete", {}),
        ("backup", "backup", {}),
    ],
)
def test_the_button_of_a_locked_action_is_off_and_says_why(
    admin_client: Client, action: str, way: str, values: dict[str, Any]
) -> None:
    version, _newer = make_version(name="3.2"), make_version(name="3.3")
    instance = make_installed(version=version, **values)
    own = f"/admin/instances/instance/{instance.pk}"
    button = f'"{own}/{way}/"'
    assert button in text(admin_client, f"{own}/change/")
    ActionLock.objects.create(instance=instance, action=action, reason="Votes are <counted>")
    page = text(admin_client, f"{own}/change/")
    assert button not in page
    assert 'title="Votes are &lt;counted&gt;"><button class="mi-button" type="button" disabled>' in page
    assert '<span class="mi-lock-reason">Votes are &lt;counted&gt;</span>' in page
    assert text(admin_client, f"{own}/live/").count(" disabled>") == 1


def test_a_locked_restore_has_no_link(admin_client: Client) -> None:
    backup = make_backup()
    own = f"/admin/instances/instance/{backup.instance_id}/change/"
    link = f"/admin/instances/backup/{backup.pk}/restore/"
    assert link in text(admin_client, own)
    ActionLock.objects.create(instance=backup.instance, action="restore", reason="Votes are counted")
    assert link not in text(admin_client, own)


def test_what_needs_attention_says_why(admin_client: Client) -> None:
    instance = make_installed(attention="5 tries were in vain. The last reason: No space left on device")
    assert "No space left on device" in text(admin_client, f"/admin/instances/instance/{instance.pk}/change/")
