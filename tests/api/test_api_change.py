"""PATCH and DELETE of an instance: what changed counts, whatever else is sent along."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from instances.choices import Desired, OperationKind, Outcome, Preparation, State
from instances.models import Host, Instance, Operation
from tests.api.client import LEGACY, Api, pointers, resource
from tests.factories import make_blob, make_host, make_installed, make_instance, make_operation, make_user, make_version


def sent_back(api: Api, instance: Instance, **changed: Any) -> dict[str, Any]:
    """The document that the seed's client sends: everything as it was read, but for what the user changed."""
    found = api.get(f"/instances/{instance.pk}", accept=LEGACY)["data"]
    relationships = {
        "osversion": {"data": found["relationships"]["osversion"]["data"]},
        "volumes": {"data": []},
    }
    return resource("instances", {**found["attributes"], **changed}, relationships, id=instance.pk)


def update_to(version: Any, instance: Instance, **attributes: Any) -> dict[str, Any]:
    target = {"osversion": {"data": {"type": "osversions", "id": str(version.pk)}}}
    return resource("instances", attributes, target, id=instance.pk)


def filed(instance: Instance) -> list[str]:
    return list(instance.operations.order_by("id").values_list("kind", flat=True))


def test_stopping_and_starting(api: Api) -> None:
    instance = make_installed()
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, state="stopped"))
    assert (answer["data"]["attributes"]["desired_state"], filed(instance)) == ("stopped", ["stop"])
    assert answer["data"]["relationships"]["operation"]["data"] is not None
    assert "meta" not in answer
    instance.operations.update(status=Outcome.SUCCEEDED, finished_at=timezone.now())
    Instance.objects.update(observed_state=State.STOPPED)
    answer = api.patch(f"/instances/{instance.pk}/", sent_back(api, instance, state="active"))
    assert (answer["data"]["attributes"]["state"], filed(instance)) == ("starting", ["stop", "start"])


@pytest.mark.parametrize("state", [s for s in State if s != State.UNKNOWN])
def test_a_state_that_is_sent_back_as_it_was_read_changes_nothing(api: Api, state: State) -> None:
    instance = make_installed(observed_state=state, desired_state=Desired.STOPPED)
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, event_organizer="The board"))
    assert answer["data"]["attributes"]["event_organizer"] == "The board"
    assert filed(instance) == []


def test_the_state_of_a_host_that_is_not_heard_of_can_be_sent_back(api: Api) -> None:
    instance = make_installed(host=make_host(last_seen=None))
    assert sent_back(api, instance)["data"]["attributes"]["state"] == "unknown"
    api.patch(f"/instances/{instance.pk}", sent_back(api, instance))
    assert filed(instance) == []


@pytest.mark.parametrize(
    ("values", "asked", "kinds"),
    [
        ({"observed_state": State.ACTIVE}, "active", []),
        ({"observed_state": State.SLEEPING}, "active", []),
        ({"observed_state": State.STARTING}, "active", []),
        ({"observed_state": State.STARTING}, "stopped", ["stop"]),
        ({"observed_state": State.SLEEPING}, "stopped", ["stop"]),
        ({"observed_state": State.ERROR}, "active", ["start"]),
        ({"observed_state": State.STOPPED}, "active", ["start"]),
        ({"observed_state": State.ERROR}, "stopped", ["stop"]),
        ({"observed_state": State.UPDATE_FAILED, "failure": OperationKind.UPDATE}, "active", ["start"]),
        ({"observed_state": State.ACTIVE, "desired_state": Desired.STOPPED}, "stopped", []),
        ({"observed_state": State.STOPPED, "desired_state": Desired.STOPPED}, "active", ["start"]),
    ],
)
def test_what_is_asked_for_is_filed_when_it_is_not_so_already(
    api: Api, values: Any, asked: str, kinds: list[str]
) -> None:
    instance = make_installed(**values)
    api.patch(f"/instances/{instance.pk}", resource("instances", {"state": asked}, id=instance.pk))
    assert filed(instance) == kinds


def test_asking_for_what_a_running_operation_does_is_no_error(api: Api) -> None:
    instance = make_instance(observed_state=State.INSTALLING)
    make_operation(kind=OperationKind.CREATE, instance=instance)
    api.patch(f"/instances/{instance.pk}", resource("instances", {"state": "active"}, id=instance.pk))
    assert filed(instance) == ["create"]


def test_a_failed_creation_is_tried_again(api: Api) -> None:
    instance = make_instance(observed_state=State.INSTALLING_FAILED, failure=OperationKind.CREATE)
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, state="active"))
    assert (answer["data"]["attributes"]["state"], filed(instance)) == ("installing", ["create"])


@pytest.mark.parametrize("state", [s for s in State if s not in (State.ACTIVE, State.STOPPED)])
def test_a_state_that_was_true_when_the_client_read_it_is_no_error(api: Api, state: State) -> None:
    instance = make_installed()
    api.patch(f"/instances/{instance.pk}", sent_back(api, instance, state=state, event_organizer="new"))
    instance.refresh_from_db()
    assert (instance.event_organizer, filed(instance)) == ("new", [])


@pytest.mark.parametrize("state", ["removed", "on", "", "ACTIVE", "active "])
def test_a_state_that_cannot_be_asked_for_is_refused_at_its_attribute(api: Api, state: str) -> None:
    instance = make_installed()
    sent = sent_back(api, instance, state=state, event_organizer="new")
    answer = api.patch(f"/instances/{instance.pk}", sent, expect=422)
    assert pointers(answer) == ["/data/attributes/state"]
    instance.refresh_from_db()
    assert (instance.event_organizer, filed(instance)) == ("", [])


def test_another_version_is_an_update(api: Api) -> None:
    instance = make_installed(version=make_version(name="3.2"))
    target = make_version(name="3.3")
    answer = api.patch(f"/instances/{instance.pk}", update_to(target, instance))
    assert answer["data"]["attributes"]["state"] == "updating"
    assert instance.operations.get().version == target


def test_the_same_version_is_none(api: Api) -> None:
    instance = make_installed()
    api.patch(f"/instances/{instance.pk}", update_to(instance.version, instance))
    assert filed(instance) == []


@pytest.mark.parametrize("values", [{"name": "3.2"}, {"name": "3.4", "enabled": False}])
def test_a_version_that_cannot_be_updated_to_is_refused_at_the_relationship(api: Api, values: Any) -> None:
    instance = make_installed(version=make_version(name="3.3"))
    answer = api.patch(f"/instances/{instance.pk}", update_to(make_version(**values), instance), expect=422)
    assert pointers(answer) == ["/data/relationships/osversion"]


@pytest.mark.parametrize("identifier", [None, {"type": "osversions", "id": "999"}, "1", []])
def test_a_version_that_there_is_not_is_refused_at_the_relationship(api: Api, identifier: Any) -> None:
    instance = make_installed()
    sent = resource("instances", None, {"osversion": {"data": identifier}}, id=instance.pk)
    assert pointers(api.patch(f"/instances/{instance.pk}", sent, expect=422)) == ["/data/relationships/osversion"]


def test_state_and_version_at_once_are_refused_and_nothing_is_done(api: Api) -> None:
    instance = make_installed(version=make_version(name="3.2"))
    sent = update_to(make_version(name="3.3"), instance, state="stopped", event_organizer="new")
    answer = api.patch(f"/instances/{instance.pk}", sent, expect=422)
    assert answer["errors"][0]["code"] == "one_operation_at_a_time"
    instance.refresh_from_db()
    assert (instance.event_organizer, filed(instance)) == ("", [])


def test_a_busy_instance_answers_with_its_running_operation(api: Api) -> None:
    instance = make_installed()
    running = make_operation(kind=OperationKind.UPDATE, instance=instance, version=instance.version)
    sent = sent_back(api, instance, state="stopped", event_organizer="new")
    answer = api.patch(f"/instances/{instance.pk}", sent, expect=409)
    error = answer["errors"][0]
    assert error["code"] == "operation_running"
    assert error["meta"]["operation"] == {
        "id": str(running.pk),
        "kind": "update",
        "status": "queued",
        "link": f"http://testserver/api/operations/{running.pk}",
    }
    instance.refresh_from_db()
    assert (instance.event_organizer, instance.desired_state) == ("", Desired.ACTIVE)


def test_an_instance_that_was_never_installed_cannot_be_stopped(api: Api) -> None:
    instance = make_instance(observed_state=State.INSTALLING_FAILED, failure=OperationKind.CREATE)
    sent = resource("instances", {"state": "stopped"}, id=instance.pk)
    assert api.patch(f"/instances/{instance.pk}", sent, expect=409)["errors"][0]["code"] == "not_installed"


def test_a_logo_is_put_and_taken_away(api: Api) -> None:
    instance, blob = make_installed(), make_blob()
    for logo in (blob.pk, blob.pk, None):
        answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, projector_logo=logo))
        assert answer["data"]["attributes"]["projector_logo"] == logo
        instance.refresh_from_db()
        assert instance.projector_logo_id == logo
    assert filed(instance) == []


@pytest.mark.parametrize("logo", ["unknown", "", 5, [], {"id": "x"}])
def test_a_logo_that_there_is_not_is_refused_at_its_attribute(api: Api, logo: Any) -> None:
    blob = make_blob()
    instance = make_installed(projector_logo=blob)
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, projector_logo=logo), expect=422)
    assert pointers(answer) == ["/data/attributes/projector_logo"]
    instance.refresh_from_db()
    assert instance.projector_logo == blob


def test_the_organizer_is_a_record_that_can_be_changed_and_emptied(api: Api) -> None:
    instance = make_installed()
    for organizer in ("The board", ""):
        api.patch(f"/instances/{instance.pk}", sent_back(api, instance, event_organizer=organizer))
        instance.refresh_from_db()
        assert instance.event_organizer == organizer


@pytest.mark.parametrize("organizer", ["a\nb", "x" * 101, 5, []])
def test_a_wrong_organizer_is_refused_at_its_attribute(api: Api, organizer: Any) -> None:
    instance = make_installed()
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, event_organizer=organizer), expect=422)
    assert set(pointers(answer)) == {"/data/attributes/event_organizer"}


def test_what_can_only_be_changed_in_openslides_is_ignored_and_named(api: Api) -> None:
    instance = make_installed(event_name="As it was")
    before = Instance.objects.filter(pk=instance.pk).values().get()
    answer = api.patch(f"/instances/{instance.pk}", sent_back(api, instance, event_name="Another", slug="other"))
    assert answer["meta"] == {"ignored": ["event_name", "slug"]}
    assert answer["data"]["attributes"]["event_name"] == "As it was"
    assert Instance.objects.filter(pk=instance.pk).values().get() == before


def test_nulls_are_no_change(api: Api) -> None:
    instance = make_installed(event_organizer="The board")
    nulls = dict.fromkeys(("slug", "state", "event_organizer", "superadmin_password", "url", "parent_domain"))
    answer = api.patch(f"/instances/{instance.pk}", resource("instances", nulls, id=instance.pk))
    assert "meta" not in answer
    instance.refresh_from_db()
    assert instance.event_organizer == "The board"


def test_hidden_passwords_can_be_sent_back(host: Host) -> None:
    instance = make_installed(host=host)
    before = instance.superadmin_password
    hidden = Api(make_user("view_instance", "change_instance"))
    assert hidden.patch(f"/instances/{instance.pk}", sent_back(hidden, instance, state="stopped"))
    instance.refresh_from_db()
    assert instance.superadmin_password == before


def test_the_type_of_what_is_sent_back_is_checked(api: Api) -> None:
    instance = make_installed()
    sent = resource("instances", {"slug": ["x"], "url": 5, "state": 7}, id=instance.pk)
    answer = api.patch(f"/instances/{instance.pk}", sent, expect=422)
    assert sorted(pointers(answer)) == [f"/data/attributes/{name}" for name in ("slug", "state", "url")]


def test_removing_files_the_operation_and_answers_without_a_body(api: Api) -> None:
    instance = make_installed()
    api.delete(f"/instances/{instance.pk}")
    assert filed(instance) == ["remove"]
    assert api.get(f"/instances/{instance.pk}")["data"]["attributes"]["state"] == "removing"
    api.delete(f"/instances/{instance.pk}/")
    assert filed(instance) == ["remove"]


def test_removing_a_busy_instance_is_a_conflict(api: Api) -> None:
    instance = make_operation().instance
    assert instance is not None
    assert api.delete(f"/instances/{instance.pk}", expect=409)["errors"][0]["code"] == "operation_running"


def test_a_failed_creation_can_be_removed(api: Api) -> None:
    instance = make_instance(observed_state=State.INSTALLING_FAILED, failure=OperationKind.CREATE)
    api.delete(f"/instances/{instance.pk}")
    assert filed(instance) == ["remove"]


def test_a_removed_instance_is_not_found(api: Api) -> None:
    instance = make_installed(removed_at=timezone.now())
    address = f"/instances/{instance.pk}"
    api.get(address, expect=404)
    api.patch(address, resource("instances", {"state": "active"}, id=instance.pk), expect=404)
    api.delete(address, expect=404)
    assert api.get("/instances")["data"] == []


def test_an_update_to_an_unprepared_version_waits_for_its_preparation(api: Api) -> None:
    instance = make_installed(version=make_version(name="3.2"))
    api.patch(f"/instances/{instance.pk}", update_to(make_version(name="3.3", preparation=Preparation.NONE), instance))
    assert set(Operation.objects.values_list("kind", flat=True)) == {"update", "prepare"}
