"""What was tried in vain is tried again over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from instances import operations
from instances.choices import Desired, Origin
from instances.models import ActionLock, Instance, Operation
from tests.api.client import Api
from tests.factories import make_installed, make_user


def tried(**values: Any) -> Instance:
    return make_installed(attention="5 tries were in vain.", retries=5, **values)


def test_it_answers_the_operation(api: Api) -> None:
    instance = tried()
    answer = api.call("POST", f"/instances/{instance.pk}/try-again", expect=202)
    found = answer.json()["data"]
    assert (found["type"], found["attributes"]["kind"]) == ("operations", "start")
    assert answer.headers["Location"].endswith(f"/api/operations/{found['id']}")
    assert Operation.objects.get().requested_via == Origin.API
    assert api.get(f"/instances/{instance.pk}")["data"]["attributes"]["needs_attention"] == ""


def test_why_not_is_said_by_a_code(api: Api) -> None:
    locked, busy = tried(), tried()
    ActionLock.objects.create(instance=locked, action="start", reason="The assembly is on")
    operations.backup(busy, operations.SYSTEM)
    for instance, code in (
        (locked, "action_locked"),
        (busy, "operation_running"),
        (make_installed(), "nothing_to_try"),
    ):
        error = api.post(f"/instances/{instance.pk}/try-again/", None, expect=409)["errors"][0]
        assert error["code"] == code
    api.post(f"/instances/{tried(removed_at=timezone.now()).pk}/try-again", None, expect=409)
    api.post("/instances/nosuchinstance/try-again", None, expect=404)
    api.call("GET", f"/instances/{locked.pk}/try-again", expect=405)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("desired", "needed", "other"),
    [
        (Desired.ACTIVE, "change_instance", "delete_instance"),
        (Desired.REMOVED, "delete_instance", "change_instance"),
        (Desired.STOPPED, "change_instance", "view_instance"),
    ],
)
def test_it_needs_the_permission_for_what_is_tried(desired: Desired, needed: str, other: str) -> None:
    path = f"/instances/{tried(desired_state=desired).pk}/try-again"
    Api().call("POST", path, expect=401)
    Api(make_user(other)).call("POST", path, expect=403)
    assert not Operation.objects.exists()
    Api(make_user(needed)).call("POST", path, expect=202)
