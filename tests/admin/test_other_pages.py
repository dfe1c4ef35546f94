from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from instances.choices import OperationKind, Outcome, State
from instances.models import Blob, Domain, Host, Operation
from tests.admin.conftest import signed_in
from tests.factories import (
    PASSWORD,
    make_blob,
    make_domain,
    make_host,
    make_installed,
    make_operation,
    make_user,
    make_version,
    png,
)  # fmt: skip

LISTS = [
    *(f"admin:instances_{name}_changelist" for name in ("instance", "operation", "version", "domain", "host", "blob")),
    "admin:auth_user_changelist",
    "admin:auth_group_changelist",
    "admin:instances_apitoken_changelist",
]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("name", LISTS)
def test_every_list_answers_empty_and_full(browser: Client, name: str, language: str) -> None:
    headers = {"Accept-Language": language}
    assert browser.get(reverse(name), headers=headers).status_code == 200
    make_operation(instance=make_installed(projector_logo=make_blob()))
    Group.objects.create(name="Board")
    assert browser.get(reverse(name), headers=headers).status_code == 200
    assert browser.get(reverse(name), {"q": "a\x00"}, headers=headers).status_code == 200


def test_every_page_of_an_object_answers(browser: Client) -> None:
    instance = make_installed(projector_logo=make_blob())
    for row in (
        instance, instance.version, instance.domain, instance.host, instance.projector_logo,
        make_operation(instance=instance), make_user(), Group.objects.create(name="Board"),
    ):  # fmt: skip
        assert row is not None
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        for view in ("change", "history"):
            assert browser.get(reverse(f"{name}_{view}", args=(row.pk,))).status_code == 200


def test_the_first_page_counts_states_and_names_what_failed(browser: Client) -> None:
    make_installed()
    make_installed(host=make_host(last_seen=timezone.now() - timedelta(hours=1)))
    broken = make_installed(observed_state=State.ERROR, failure=OperationKind.START)
    failed = make_operation(instance=broken, status=Outcome.FAILED, finished_at=timezone.now(), error="The reason")
    context = browser.get(reverse("admin:index")).context
    assert {tile.label: tile.number for tile in context["tiles"]} == {"active": 1, "error": 1, "unknown": 1}
    assert [row.operation for row in context["failed"]] == [failed]


def test_the_first_page_takes_the_same_queries_for_a_large_fleet(browser: Client) -> None:
    place = {"host": make_host(), "version": make_version(), "domain": make_domain()}
    make_operation(instance=make_installed(**place))
    with CaptureQueriesContext(connection) as few:
        browser.get(reverse("admin:index"))
    for _ in range(12):
        make_operation(instance=make_installed(**place))
    with CaptureQueriesContext(connection) as many:
        browser.get(reverse("admin:index"))
    assert len(many) == len(few)


def test_the_first_page_shows_only_what_one_may_see(db: None) -> None:
    instance = make_installed(slug="secret-slug")
    make_operation(instance=instance)
    for page in (reverse("admin:index"), reverse("admin:instances_operation_overview")):
        assert "secret-slug" not in signed_in().get(page).content.decode()


def test_a_fresh_installation_says_what_to_add_first(browser: Client) -> None:
    page = browser.get(reverse("admin:index")).content.decode()
    assert "No instance yet" in page
    assert reverse("admin:instances_version_add") in page


def test_operations_can_only_be_looked_at(browser: Client) -> None:
    operation = make_operation()
    page = reverse("admin:instances_operation_change", args=(operation.pk,))
    assert browser.post(page, {"kind": "remove"}).status_code == 403
    assert browser.post(reverse("admin:instances_operation_delete", args=(operation.pk,))).status_code == 403
    assert browser.get(reverse("admin:instances_operation_add")).status_code == 403
    assert Operation.objects.get().kind == operation.kind


def test_the_list_of_operations_takes_the_same_queries_for_one_row_as_for_many(browser: Client) -> None:
    address = reverse("admin:instances_operation_changelist")
    instance = make_installed()
    make_operation(instance=instance)
    with CaptureQueriesContext(connection) as few:
        browser.get(address)
    for _ in range(10):
        make_operation(instance=instance, status=Outcome.FAILED, finished_at=timezone.now(), requested_by=make_user())
    with CaptureQueriesContext(connection) as many:
        browser.get(address)
    assert len(many) == len(few)


@pytest.mark.parametrize("words", ["annual", "Jahres", "3.3"])
def test_operations_are_found_by_their_instance(browser: Client, words: str) -> None:
    version = make_version(name="3.3")
    instance = make_installed(slug="annual", event_name="Jahresversammlung", version=version)
    found = make_operation(instance=instance, kind=OperationKind.UPDATE, version=version)
    make_operation()
    response = browser.get(reverse("admin:instances_operation_changelist"), {"q": words})
    assert [row.pk for row in response.context["cl"].result_list] == [found.pk]


def test_the_domains_mark_default_is_taken_from_the_one_that_had_it(browser: Client) -> None:
    make_domain(default=True)
    browser.post(reverse("admin:instances_domain_add"), {"domain": "new.example.org", "default": "on"})
    assert Domain.objects.get(default=True).domain == "new.example.org"


def test_wrong_input_of_a_domain_gets_a_message_at_its_field(browser: Client) -> None:
    address = reverse("admin:instances_domain_add")
    for field, value in (("domain", "https://x.org/"), ("domain", "x\ny"), ("certificate", "relative.pem")):
        response = browser.post(address, {"domain": "x.org", field: value})
        assert list(response.context["adminform"].form.errors) == [field]


def test_a_used_domain_cannot_be_deleted(browser: Client) -> None:
    instance = make_installed()
    response = browser.post(reverse("admin:instances_domain_delete", args=(instance.domain_id,)), {"post": "yes"})
    assert response.status_code == 200
    assert Domain.objects.filter(pk=instance.domain_id).exists()


def test_a_kind_of_host_that_is_not_supported_is_said_at_its_field(browser: Client) -> None:
    data = {"name": "other", "kind": "systemd", "capacity": "3"}
    assert list(browser.post(reverse("admin:instances_host_add"), data).context["adminform"].form.errors) == ["kind"]


def test_an_instance_on_such_a_host_breaks_no_page(browser: Client) -> None:
    instance = make_installed(host=make_host(kind="systemd"))
    assert browser.get(reverse("admin:instances_instance_changelist")).status_code == 200
    assert browser.get(reverse("admin:instances_instance_change", args=(instance.pk,))).status_code == 200


def test_an_unused_host_is_deleted_with_its_history(browser: Client) -> None:
    host = make_host()
    make_operation(
        kind=OperationKind.PREPARE, version=make_version(), host=host, status=Outcome.FAILED, finished_at=timezone.now()
    )
    browser.post(reverse("admin:instances_host_delete", args=(host.pk,)), {"post": "yes"})
    assert not Host.objects.exists()


def test_a_picture_is_uploaded_and_shown_to_those_who_may_see_it(browser: Client) -> None:
    browser.post(reverse("admin:instances_blob_add"), {"file": SimpleUploadedFile("a.png", png())})
    address = reverse("admin:instances_blob_picture", args=(Blob.objects.get().pk,))
    response = browser.get(address)
    assert response["Content-Type"] == "image/png"
    assert b"".join(response.streaming_content) == png()  # type: ignore[attr-defined]
    assert signed_in().get(address).status_code == 403


def test_a_picture_that_is_none_is_refused_at_its_field(browser: Client) -> None:
    files = {"file": SimpleUploadedFile("a.png", b"GIF89a", "image/png")}
    response = browser.post(reverse("admin:instances_blob_add"), files)
    assert list(response.context["adminform"].form.errors) == ["file"]


def test_users_and_groups_can_be_made(browser: Client) -> None:
    data = {"username": "second", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    browser.post(reverse("admin:auth_user_add"), data)
    second = get_user_model().objects.get(username="second")
    assert second.check_password(PASSWORD)
    assert browser.get(reverse("admin:auth_user_password_change", args=(second.pk,))).status_code == 200
    browser.post(reverse("admin:auth_group_add"), {"name": "Board"})
    assert Group.objects.filter(name="Board").exists()


def test_signing_in_leads_to_the_first_page(db: None) -> None:
    user = make_user(is_superuser=True)
    response = Client().post(reverse("admin:login"), {"username": user.get_username(), "password": PASSWORD})
    assert response.url == reverse("admin:index")  # type: ignore[attr-defined]


def test_the_language_can_be_switched(browser: Client) -> None:
    browser.post(reverse("set_language"), {"language": "de", "next": "/admin/"})
    assert 'lang="de"' in browser.get(reverse("admin:index")).content.decode()


def test_the_sidebar_shows_only_what_one_may_see(db: None) -> None:
    page = signed_in("view_instance").get(reverse("admin:index")).content.decode()
    assert reverse("admin:instances_instance_changelist") in page
    assert reverse("admin:instances_host_changelist") not in page
