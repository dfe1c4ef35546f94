from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from instances.choices import OperationKind, Origin, Preparation, State
from instances.models import Blob, Domain, Host, Instance, Operation, Version
from tests.admin.conftest import signed_in
from tests.factories import make_blob, make_domain, make_host, make_instance, make_version, png

ADD = reverse("admin:instances_instance_add")


@pytest.fixture
def place(db: None) -> tuple[Host, Domain, Version]:
    return make_host(), make_domain(default=True), make_version(default=True)


def document(**values: Any) -> dict[str, Any]:
    """What a browser sends of the form when nobody has typed more than the slug."""
    return {
        "slug": "annual",
        "domain": Domain.objects.get().pk,
        "version": Version.objects.filter(default=True).get().pk,
        "mode": "subdomain",
        "db": "",
        "event_name": "OpenSlides",
        "event_description": "Presentation and assembly system",
        "event_date": "",
        "event_location": "",
        "event_organizer": "",
        "admin_first_name": "Local",
        "admin_last_name": "Administrator",
        "admin_username": "",
        "admin_initial_password": "",
        "superadmin_password": "",
        **values,
    }


def errors(client: Client, **values: Any) -> dict[str, list[str]]:
    """The errors at the fields; nothing may have been made."""
    before = Instance.objects.count(), Operation.objects.count()
    response = client.post(ADD, document(**values))
    assert response.status_code == 200
    assert (Instance.objects.count(), Operation.objects.count()) == before
    return dict(response.context["adminform"].form.errors)


def test_every_field_but_the_slug_has_a_useful_default(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    _, domain, version = place
    make_version()
    form = browser.get(ADD).context["adminform"].form
    assert form["domain"].value() == domain.pk
    assert form["version"].value() == version.pk
    assert form["event_name"].value() == "OpenSlides"
    assert form["mode"].value() == "subdomain"
    assert form["admin_first_name"].value() == "Local"


def test_no_generated_password_is_in_the_page(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    page = browser.get(ADD).content.decode()
    assert "initial-superadmin_password" not in page
    assert "initial-admin_initial_password" not in page


def test_only_enabled_versions_are_offered(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    off = make_version(enabled=False)
    form = browser.get(ADD).context["adminform"].form
    assert off not in form.fields["version"].queryset
    assert "version" in errors(browser, version=off.pk)


def test_the_host_is_asked_only_where_there_is_a_choice(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    assert "host" not in browser.get(ADD).context["adminform"].form.fields
    make_host()
    assert "host" in browser.get(ADD).context["adminform"].form.fields


def test_it_files_the_creation_and_leads_to_the_instances_page(
    browser: Client, place: tuple[Host, Domain, Version]
) -> None:
    response = browser.post(ADD, document(event_name='<script>alert(1)</script> "{{ 7 }}"'))
    instance = Instance.objects.get()
    assert response.url == reverse("admin:instances_instance_change", args=(instance.pk,))  # type: ignore[attr-defined]
    operation = instance.operations.get()
    assert operation.kind == OperationKind.CREATE
    assert operation.requested_via == Origin.ADMIN
    assert operation.requested_by is not None
    assert instance.host == place[0]
    assert instance.observed_state == State.INSTALLING
    assert instance.event_name == '<script>alert(1)</script> "{{ 7 }}"'
    assert len(instance.superadmin_password) == len(instance.admin_initial_password) == 16


@pytest.mark.django_db(transaction=True)
def test_the_message_lies_in_the_hosts_queue() -> None:
    host = make_host()
    make_domain(), make_version(default=True)
    folder = Path(settings.BROKER_FOLDER)
    before = set(folder.glob(f"*{host.queue}.msg"))
    signed_in(is_superuser=True).post(ADD, document())
    (message,) = set(folder.glob(f"*{host.queue}.msg")) - before
    assert str(Operation.objects.get().pk) in message.read_text()
    assert Instance.objects.get().superadmin_password not in message.read_text()


def test_typed_passwords_are_taken_as_they_are(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    browser.post(ADD, document(superadmin_password=" päss 1", admin_initial_password="two"))
    instance = Instance.objects.get()
    assert (instance.superadmin_password, instance.admin_initial_password) == (" päss 1", "two")


def test_a_taken_slug_is_said_at_the_slug(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    make_instance(slug="annual", domain=place[1])
    found = errors(browser)
    assert found == {"slug": ["There is an instance with this slug in this domain already."]}


def test_the_control_plane_s_own_name_is_said_at_the_slug(
    browser: Client, settings: Settings, place: tuple[Host, Domain, Version]
) -> None:
    settings.DEPLOYMENT = "systemd"
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, f"annual.{place[1].domain}"]
    (text,) = errors(browser)["slug"]
    assert "address of the control plane" in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", ""),
        ("slug", "Upper"),
        ("slug", "-a"),
        ("slug", "a" * 64),
        ("slug", "a\x00"),
        ("event_name", ""),
        ("event_name", "x" * 10_000),
        ("event_name", "two\nlines"),
        ("admin_username", "Admin"),
        ("mode", "carrier-pigeon"),
        ("version", "999"),
        ("version", "'"),
        ("domain", ""),
        ("db", "oracle"),
        ("superadmin_password", "x" * 129),
        ("admin_initial_password", "two\nlines"),
    ],
)
def test_wrong_input_gets_a_message_at_its_field(
    browser: Client, place: tuple[Host, Domain, Version], field: str, value: str
) -> None:
    assert list(errors(browser, **{field: value})) == [field]


def test_what_the_host_cannot_do_is_said_at_the_field(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    assert "SQLite" in errors(browser, db="postgresql")["db"][0]


def test_an_engine_that_the_host_has_not_is_said_at_the_version(
    browser: Client, place: tuple[Host, Domain, Version]
) -> None:
    container = make_version(image="localhost/openslides:3.3", engine="podman")
    assert "PyPI" in errors(browser, version=container.pk)["version"][0]


def test_a_full_host_is_said_above_the_form(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    Host.objects.update(capacity=0)
    assert "No host has room" in errors(browser)["__all__"][0]


def test_a_version_that_is_not_prepared_is_waited_for(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    Version.objects.update(preparation=Preparation.NONE)
    response = browser.post(ADD, document(), follow=True)
    assert "Waits for:" in response.content.decode()
    assert Operation.objects.filter(kind=OperationKind.PREPARE).count() == 1


def test_a_logo_is_uploaded_with_the_instance(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    browser.post(ADD, document(logo_file=SimpleUploadedFile("../../evil.php", png())))
    blob = Blob.objects.get()
    assert Instance.objects.get().projector_logo == blob
    assert blob.file.name == f"blobs/{blob.pk}.png"


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n broken", b"<svg onload=alert(1)>"])
def test_what_is_no_png_is_refused_at_the_field(
    browser: Client, place: tuple[Host, Domain, Version], content: bytes
) -> None:
    assert list(errors(browser, logo_file=SimpleUploadedFile("logo.png", content, "image/png"))) == ["logo_file"]
    assert not Blob.objects.exists()


def test_a_refused_creation_leaves_no_logo_behind(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    Host.objects.update(capacity=0)
    logos = Path(settings.MEDIA_ROOT) / "blobs"
    before = set(logos.glob("*"))
    errors(browser, logo_file=SimpleUploadedFile("logo.png", png()))
    assert set(logos.glob("*")) == before
    assert not Blob.objects.exists()


def test_a_logo_that_was_uploaded_before_can_be_chosen(browser: Client, place: tuple[Host, Domain, Version]) -> None:
    blob = make_blob()
    browser.post(ADD, document(projector_logo=blob.pk))
    assert Instance.objects.get().projector_logo == blob


def test_it_says_what_has_to_be_there_before(browser: Client) -> None:
    page = browser.get(ADD).content.decode()
    for model in ("version", "domain", "host"):
        assert reverse(f"admin:instances_{model}_add") in page


def test_who_may_not_add_cannot(db: None) -> None:
    assert signed_in("view_instance").get(ADD).status_code == 403
