from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from instances.choices import Desired, OperationKind, Outcome, State, StepStatus
from instances.models import Instance, OperationStep
from tests.admin.conftest import signed_in
from tests.factories import (
    make_blob,
    make_domain,
    make_host,
    make_installed,
    make_instance,
    make_operation,
    make_version,
)


def address(view: str, instance: Instance) -> str:
    return reverse(f"admin:instances_instance_{view}", args=(instance.pk,))


def buttons(client: Client, instance: Instance) -> set[str]:
    shown = client.get(address("change", instance)).context["head"].buttons
    return {name for name in shown.__slots__ if getattr(shown, name)}


def make_failed(**values: Any) -> Instance:
    """One whose creation failed."""
    instance = make_instance(observed_state=State.INSTALLING_FAILED, failure=OperationKind.CREATE, **values)
    operation = make_operation(
        instance=instance,
        kind=OperationKind.CREATE,
        status=Outcome.FAILED,
        finished_at=timezone.now(),
        error="No space left on device",
        failed_step="make directories",
    )
    OperationStep.objects.create(
        operation=operation, position=1, name="make directories", status=StepStatus.FAILED, output="mkdir: <full>"
    )
    return instance


def typed(instance: Instance, **values: Any) -> dict[str, Any]:
    """The form of a failed instance as it was shown, with some values typed over."""
    fields = ("slug", "mode", "db", "event_name", "admin_first_name", "admin_last_name", "admin_username")
    data = {name: getattr(instance, name) for name in fields}
    return {**data, "domain": instance.domain_id, "version": instance.version_id, **values}


def test_buttons_are_shown_where_they_make_sense(browser: Client) -> None:
    old, _new = make_version(name="3.2"), make_version(name="3.3")
    assert buttons(browser, make_installed(version=old)) == {"stop", "update", "mail", "later", "remove"}
    stopped = make_installed(version=old, observed_state=State.STOPPED, desired_state=Desired.STOPPED)
    assert buttons(browser, stopped) == {"start", "update", "mail", "later", "remove"}
    assert buttons(browser, make_installed(version=old, observed_state=State.ERROR)) == {
        "start", "stop", "update", "mail", "later", "remove",
    }  # fmt: skip
    assert buttons(browser, make_failed(version=old)) == {"create", "remove"}
    assert buttons(browser, make_instance(version=old, removed_at=timezone.now())) == {"forget"}
    busy = make_installed(version=old)
    make_operation(instance=busy)
    assert buttons(browser, busy) == set()


def test_who_may_only_look_gets_no_buttons(db: None) -> None:
    assert buttons(signed_in("view_instance"), make_installed()) == set()


@pytest.mark.parametrize("view", ["start", "stop"])
def test_a_button_files_its_operation(browser: Client, view: str) -> None:
    instance = make_installed()
    response = browser.post(address(view, instance))
    assert response.url == address("change", instance)  # type: ignore[attr-defined]
    assert [operation.kind for operation in instance.operations.all()] == [view]


@pytest.mark.parametrize("view", ["start", "stop", "credentials"])
def test_nothing_is_done_by_following_a_link(browser: Client, view: str) -> None:
    assert browser.get(address(view, make_installed())).status_code == 405


@pytest.mark.parametrize("view", ["start", "stop", "update", "delete", "credentials"])
def test_a_form_of_another_site_is_refused(db: None, view: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(signed_in(is_superuser=True).get("/admin/").wsgi_request.user)  # type: ignore[arg-type]
    instance = make_installed()
    assert client.post(address(view, instance)).status_code == 403
    assert not instance.operations.exists()


@pytest.mark.parametrize("view", ["start", "stop", "update", "delete"])
def test_who_may_only_look_can_do_nothing(db: None, view: str) -> None:
    instance = make_installed()
    assert signed_in("view_instance", "view_operation").post(address(view, instance)).status_code == 403
    assert not instance.operations.exists()


def test_removing_takes_its_own_permission(db: None) -> None:
    instance = make_installed()
    assert signed_in("change_instance").post(address("delete", instance)).status_code == 403
    signed_in("view_instance", "delete_instance").post(address("delete", instance))
    assert [operation.kind for operation in instance.operations.all()] == [OperationKind.REMOVE]


def test_a_refused_operation_is_a_message(browser: Client) -> None:
    instance = make_installed()
    make_operation(instance=instance)
    response = browser.post(address("stop", instance), follow=True)
    assert response.status_code == 200
    assert "is not finished. Wait until it is, then ask again." in response.content.decode()


def test_removing_asks_first_and_says_what_is_lost(browser: Client) -> None:
    instance = make_installed()
    page = browser.get(address("delete", instance)).content.decode()
    assert "it can be brought back under its name." in page
    assert not instance.operations.exists()
    browser.post(address("delete", instance))
    instance.refresh_from_db()
    assert instance.desired_state == Desired.REMOVED
    assert instance.observed_state == State.REMOVING


def test_the_record_of_a_removed_instance_can_be_deleted_with_its_history(browser: Client) -> None:
    instance = make_instance(removed_at=timezone.now())
    make_operation(instance=instance, status=Outcome.SUCCEEDED, finished_at=timezone.now())
    browser.post(address("delete", instance), {"post": "yes"})
    assert not Instance.objects.exists()


def test_an_update_offers_newer_enabled_versions(browser: Client) -> None:
    old, current, new = (make_version(name=name) for name in ("3.1", "3.2", "3.10"))
    off = make_version(name="3.3", enabled=False)
    container = make_version(name="3.4", image="localhost/os:3.4", engine="podman")
    instance = make_installed(version=current)
    offered = set(browser.get(address("update", instance)).context["form"].fields["version"].queryset)
    assert offered == {new}
    for version in (old, current, off, container):
        response = browser.post(address("update", instance), {"version": version.pk})
        assert "version" in response.context["form"].errors
    assert not instance.operations.exists()
    browser.post(address("update", instance), {"version": new.pk})
    operation = instance.operations.get()
    assert (operation.kind, operation.version) == (OperationKind.UPDATE, new)


def test_after_the_creation_only_the_organizer_and_how_it_runs_can_be_changed(browser: Client) -> None:
    instance = make_installed(event_name="Before")
    response = browser.get(address("change", instance))
    assert list(response.context["adminform"].form.fields) == [
        "event_organizer",
        "backup_hours",
        "always_on",
        "idle_minutes",
        "workers",
    ]
    browser.post(address("change", instance), {"event_organizer": "The board", "event_name": "After", "slug": "other"})
    after = Instance.objects.get()
    assert (after.event_organizer, after.event_name, after.slug) == ("The board", "Before", instance.slug)
    assert (after.idle_minutes, after.workers) == (15, 1)


def test_a_change_of_how_it_runs_counts_at_once(browser: Client) -> None:
    instance = make_installed()
    browser.post(address("change", instance), {"always_on": "on", "idle_minutes": "5"})
    instance.refresh_from_db()
    assert (instance.always_on, instance.idle_minutes) == (True, 5)
    assert instance.operations.get().kind == OperationKind.START


def test_saving_writes_nothing_over_what_the_worker_has_written(browser: Client) -> None:
    instance = make_installed(desired_state=Desired.STOPPED, observed_state=State.STOPPED)
    browser.post(address("change", instance), {"event_organizer": "The board"})
    instance.refresh_from_db()
    assert (instance.desired_state, instance.observed_state) == (Desired.STOPPED, State.STOPPED)
    assert not instance.operations.exists()


def test_a_failed_creation_is_tried_again_with_corrected_values(browser: Client) -> None:
    instance = make_failed()
    page = browser.get(address("change", instance)).content.decode()
    assert "Save and try again" in page
    assert "mkdir: &lt;full&gt;" in page
    browser.post(address("change", instance), typed(instance, event_name="Corrected", _create="1"))
    after = Instance.objects.get()
    assert after.event_name == "Corrected"
    assert after.observed_state == State.INSTALLING
    assert after.superadmin_password == instance.superadmin_password
    assert after.unfinished_operation is not None


def test_corrected_values_can_be_saved_without_trying(browser: Client) -> None:
    instance = make_failed()
    browser.post(address("change", instance), typed(instance, superadmin_password="chosen"))
    after = Instance.objects.get()
    assert after.superadmin_password == "chosen"
    assert after.admin_initial_password == instance.admin_initial_password
    assert after.unfinished_operation is None


def test_a_refused_second_try_is_said_at_its_field(browser: Client) -> None:
    instance = make_failed()
    response = browser.post(address("change", instance), typed(instance, db="postgresql", _create="1"))
    assert list(response.context["adminform"].form.errors) == ["db"]
    assert Instance.objects.get().db == "sqlite"


def test_a_second_try_while_it_is_tried_is_refused(browser: Client) -> None:
    instance = make_failed()
    make_operation(instance=instance, kind=OperationKind.CREATE)
    response = browser.post(address("change", instance), typed(instance, _create="1"))
    assert response.status_code == 200
    assert "is not finished" in response.content.decode()
    assert instance.operations.count() == 2


def test_passwords_are_not_in_the_page_but_come_when_asked_for(browser: Client) -> None:
    for instance in (make_installed(), make_failed()):
        page = browser.get(address("change", instance)).content.decode()
        assert instance.superadmin_password not in page
        assert instance.admin_initial_password not in page
        response = browser.post(address("credentials", instance))
        assert "no-store" in response["Cache-Control"]
        superadmin, admin = response.json()["accounts"]
        assert (superadmin["username"], superadmin["password"]) == ("admin", instance.superadmin_password)
        assert (admin["username"], admin["password"]) == (instance.admin_username, instance.admin_initial_password)


def test_passwords_take_their_own_permission(db: None) -> None:
    instance = make_installed()
    client = signed_in("view_instance", "change_instance")
    assert client.post(address("credentials", instance)).status_code == 403
    assert "data-credentials-url" not in client.get(address("change", instance)).content.decode()
    assert signed_in("view_credentials").post(address("credentials", instance)).status_code == 403
    assert signed_in("view_instance", "view_credentials").post(address("credentials", instance)).status_code == 200


def test_the_running_steps_are_shown_with_their_progress(browser: Client) -> None:
    instance = make_installed()
    operation = make_operation(instance=instance, status=Outcome.RUNNING, started_at=timezone.now())
    for position, status in enumerate((StepStatus.DONE, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.WAITING), 1):
        OperationStep.objects.create(
            operation=operation, position=position, name=f"step {position}", status=status, output="<b>x</b>" * 2000
        )
    response = browser.get(address("live", instance))
    page = response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert 'data-busy="yes"' in page
    assert 'aria-valuenow="25"' in page
    assert "step 4" in page
    assert "<b>x" not in page
    assert "Only the end is shown here." in page


def test_the_live_part_takes_the_same_queries_however_many_steps_there_are(browser: Client) -> None:
    instance = make_installed()
    operation = make_operation(instance=instance, status=Outcome.RUNNING, started_at=timezone.now())
    with CaptureQueriesContext(connection) as few:
        browser.get(address("live", instance))
    OperationStep.objects.bulk_create(
        OperationStep(operation=operation, position=position, name=f"step {position}") for position in range(1, 30)
    )
    with CaptureQueriesContext(connection) as many:
        browser.get(address("live", instance))
    assert len(many) == len(few) <= 8


def test_the_same_page_is_the_same_text_so_that_nothing_flickers(browser: Client) -> None:
    instance = make_installed()
    first, second = (browser.get(address("live", instance)).content for _ in range(2))
    assert first == second


def test_the_operation_that_is_waited_for_is_named(browser: Client) -> None:
    version, host = make_version(name="3.3"), make_host()
    prepare = make_operation(kind=OperationKind.PREPARE, version=version, host=host)
    OperationStep.objects.create(operation=prepare, position=1, name="install", status=StepStatus.RUNNING)
    instance = make_instance(version=version, host=host, observed_state=State.INSTALLING)
    make_operation(kind=OperationKind.CREATE, instance=instance, waits_for=prepare)
    page = browser.get(address("live", instance)).content.decode()
    assert "Waits for:" in page
    assert "prepare OpenSlides 3.3" in page
    assert "install" in page


def test_a_host_that_is_not_heard_of_is_said_where_one_waits_for_it(browser: Client) -> None:
    instance = make_installed(host=make_host(last_seen=None))
    make_operation(instance=instance)
    assert "Nothing was heard of the host" in browser.get(address("live", instance)).content.decode()


def test_the_live_part_is_for_those_who_may_see_instances(db: None) -> None:
    instance = make_installed()
    assert signed_in().get(address("live", instance)).status_code == 403
    assert Client().get(address("live", instance)).status_code == 302


def test_an_unknown_instance_is_not_found(browser: Client) -> None:
    for view in ("live", "update", "delete"):
        assert browser.get(reverse(f"admin:instances_instance_{view}", args=("0" * 32,))).status_code == 404


def test_what_was_typed_is_escaped_on_every_page(browser: Client) -> None:
    evil = "<script>alert(1)</script>"
    instance = make_installed(
        event_name=evil, event_location=evil, event_organizer=evil, admin_first_name=evil, projector_logo=make_blob(),
        domain=make_domain(),
    )  # fmt: skip
    make_operation(
        instance=instance, status=Outcome.FAILED, finished_at=timezone.now(), error=evil, failed_step=evil,
    )  # fmt: skip
    Instance.objects.update(failure=OperationKind.START)
    for page in (
        *(address(view, instance) for view in ("change", "live", "delete", "update")),
        reverse("admin:index"), reverse("admin:instances_operation_changelist"),
    ):  # fmt: skip
        response = browser.get(page)
        assert response.status_code == 200
        assert evil not in response.content.decode()


def test_nothing_may_be_framed(browser: Client) -> None:
    assert browser.get(address("change", make_installed()))["X-Frame-Options"] == "DENY"


def test_a_test_mail_is_asked_for_with_an_address(browser: Client) -> None:
    instance = make_installed()
    assert "Recipient" in browser.get(address("mail", instance)).content.decode()
    assert "recipient" in browser.post(address("mail", instance), {"recipient": "nobody"}).context["form"].errors
    browser.post(address("mail", instance), {"recipient": "chair@example.org"})
    operation = instance.operations.get()
    assert (operation.kind, operation.recipient) == (OperationKind.MAIL, "chair@example.org")


def test_when_it_was_last_used_is_shown_once_somebody_was_there(browser: Client) -> None:
    instance = make_installed()
    assert "Last used" not in browser.get(address("change", instance)).content.decode()
    Instance.objects.update(last_used_at=timezone.now())
    assert "Last used" in browser.get(address("change", instance)).content.decode()
