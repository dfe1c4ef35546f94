from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from instances.choices import OperationKind, Outcome, Preparation
from instances.models import Operation, Version
from tests.admin.conftest import signed_in
from tests.factories import make_host, make_installed, make_instance, make_operation, make_version

ADD = reverse("admin:instances_version_add")


def address(view: str, version: Version) -> str:
    return reverse(f"admin:instances_version_{view}", args=(version.pk,))


def test_a_version_is_added_and_can_be_prepared(browser: Client) -> None:
    host = make_host()
    data = {"name": "3.3", "image": "pypi:openslides==3.3", "engine": "virtualenv", "enabled": "on"}
    page = browser.post(ADD, data, follow=True).content.decode()
    version = Version.objects.get()
    assert address("prepare", version) in page
    browser.post(address("prepare", version))
    operation = Operation.objects.get()
    assert (operation.kind, operation.version, operation.host) == (OperationKind.PREPARE, version, host)
    version.refresh_from_db()
    assert version.preparation == Preparation.PREPARING


@pytest.mark.parametrize(
    ("field", "value"), [("name", "latest"), ("image", "pypi:openslides"), ("image", "-x"), ("name", "")]
)
def test_wrong_input_gets_a_message_at_its_field(browser: Client, field: str, value: str) -> None:
    data = {"name": "3.3", "image": "pypi:openslides==3.3", "engine": "virtualenv", "enabled": "on", field: value}
    assert list(browser.post(ADD, data).context["adminform"].form.errors) == [field]


def test_an_engine_that_does_not_fit_the_image_is_said_at_the_image(browser: Client) -> None:
    data = {"name": "3.3", "image": "pypi:openslides==3.3", "engine": "podman", "enabled": "on"}
    assert list(browser.post(ADD, data).context["adminform"].form.errors) == ["image"]


def test_a_second_preparation_is_refused_with_a_message(browser: Client) -> None:
    make_host()
    version = make_version(preparation=Preparation.NONE)
    browser.post(address("prepare", version))
    assert "is not finished" in browser.post(address("prepare", version), follow=True).content.decode()
    assert Operation.objects.count() == 1


def test_without_a_host_the_preparation_says_what_to_do(browser: Client) -> None:
    version = make_version(preparation=Preparation.NONE)
    assert "No host has room" in browser.post(address("prepare", version), follow=True).content.decode()


def test_preparing_takes_the_permission_to_change(db: None) -> None:
    make_host()
    version = make_version()
    assert signed_in("view_version").post(address("prepare", version)).status_code == 403
    assert signed_in("change_version").get(address("prepare", version)).status_code == 405


def test_the_mark_default_is_taken_from_the_one_that_had_it(browser: Client) -> None:
    old, new = make_version(name="3.2", default=True), make_version(name="3.3")
    browser.post(
        address("change", new),
        {"enabled": "on", "default": "on", "name": "3.3", "image": new.image, "engine": "virtualenv"},
    )
    assert list(Version.objects.filter(default=True)) == [new]
    data = {"name": "3.1", "image": "pypi:openslides==3.1", "engine": "virtualenv", "enabled": "on", "default": "on"}
    browser.post(ADD, data)
    assert Version.objects.get(default=True).name == "3.1"
    assert old in Version.objects.all()


def test_a_default_version_has_to_be_enabled(browser: Client) -> None:
    data = {"name": "3.1", "image": "pypi:openslides==3.1", "engine": "virtualenv", "default": "on"}
    assert list(browser.post(ADD, data).context["adminform"].form.errors) == ["enabled"]


def test_the_list_shows_preparation_and_the_number_of_present_instances(browser: Client) -> None:
    version = make_version()
    make_installed(version=version)
    make_instance(version=version, removed_at=timezone.now())
    (row,) = browser.get(reverse("admin:instances_version_changelist")).context["cl"].result_list
    assert row.used == 1


def test_a_used_version_cannot_be_deleted_and_the_page_says_why(browser: Client) -> None:
    instance = make_installed()
    page = browser.post(address("delete", instance.version), {"post": "yes"})
    assert str(instance) in page.content.decode()
    assert Version.objects.filter(pk=instance.version_id).exists()


def test_a_version_that_is_being_prepared_cannot_be_deleted(browser: Client) -> None:
    version = make_version()
    make_operation(kind=OperationKind.PREPARE, version=version, host=make_host())
    assert "not finished" in browser.post(address("delete", version), {"post": "yes"}).content.decode()
    assert Version.objects.exists()


def test_a_version_to_which_an_update_is_postponed_cannot_be_deleted(browser: Client) -> None:
    version = make_version()
    operation = make_operation(
        kind=OperationKind.UPDATE, instance=make_installed(), version=version, status=Outcome.POSTPONED
    )
    page = browser.post(address("delete", version), {"post": "yes"}).content.decode()
    assert f"{operation} (not finished)" in page
    assert Operation.objects.exists()


def messages_of(queue: str) -> set[Path]:
    return set(Path(settings.BROKER_FOLDER).glob(f"*{queue}.msg"))


@pytest.mark.django_db(transaction=True)
def test_what_was_prepared_for_a_deleted_version_is_taken_off_the_hosts() -> None:
    browser = signed_in(is_superuser=True)
    host, version = make_host(), make_version(image="pypi:openslides==3.2")
    make_operation(
        kind=OperationKind.PREPARE, version=version, host=host, status=Outcome.SUCCEEDED, finished_at=timezone.now()
    )
    before = messages_of(host.queue)
    response = browser.post(address("delete", version), {"post": "yes"})
    assert response.status_code == 302
    (message,) = messages_of(host.queue) - before
    assert "instances.discard_version" in message.read_text()


@pytest.mark.django_db(transaction=True)
def test_it_stays_there_while_another_version_has_the_same_image() -> None:
    browser = signed_in(is_superuser=True)
    host, version, _other = make_host(), make_version(), make_version()
    before = messages_of(host.queue)
    browser.post(address("delete", version), {"post": "yes"})
    assert messages_of(host.queue) == before


@pytest.mark.django_db(transaction=True)
def test_versions_that_are_deleted_together_are_taken_off_once() -> None:
    browser = signed_in(is_superuser=True)
    host, one, two = make_host(), make_version(), make_version()
    before = messages_of(host.queue)
    data = {"action": "delete_selected", "_selected_action": [one.pk, two.pk], "post": "yes"}
    browser.post(reverse("admin:instances_version_changelist"), data)
    assert not Version.objects.exists()
    assert len(messages_of(host.queue) - before) == 1


def test_the_name_of_a_prepared_version_stays(browser: Client) -> None:
    version = make_version(name="3.3")
    assert set(browser.get(address("change", version)).context["adminform"].form.fields) == {"enabled", "default"}
    failed = make_version(name="3.4", preparation=Preparation.FAILED)
    assert "image" in browser.get(address("change", failed)).context["adminform"].form.fields
