"""The database itself refuses what must not be, whoever writes the row."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances.choices import OperationKind, Outcome, State
from instances.models import Domain, Instance, Operation, Version
from tests.factories import make_domain, make_host, make_instance, make_version

pytestmark = pytest.mark.django_db


def test_ids_are_32_hexadecimal_digits() -> None:
    identity = make_instance().pk
    assert len(identity) == 32
    assert set(identity) <= set("0123456789abcdef")


def test_two_present_instances_cannot_share_slug_and_domain() -> None:
    instance = make_instance(slug="same")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_instance(slug="same", domain=instance.domain)
    make_instance(slug="same", domain=make_domain())


def test_the_slug_of_a_removed_instance_is_free_again() -> None:
    instance = make_instance(slug="again", removed_at=timezone.now())
    make_instance(slug="again", domain=instance.domain)


@pytest.mark.parametrize(
    ("deployment", "slug", "refused"),
    [("systemd", "openslides", True), ("systemd", "assembly", False), ("embedded", "openslides", False)],
)
def test_no_instance_gets_the_name_of_the_control_plane(
    settings: Settings, deployment: str, slug: str, refused: bool
) -> None:
    """Its web server would answer that name with the control plane."""
    settings.DEPLOYMENT, settings.ALLOWED_HOSTS = deployment, ["OpenSlides.example.com", "localhost"]
    instance = Instance(slug=slug, domain=make_domain(domain="example.com"), version=make_version())
    instance.fill_in()
    if not refused:
        instance.full_clean(exclude=["host"])
        return
    with pytest.raises(ValidationError, match="control plane") as caught:
        instance.full_clean(exclude=["host"])
    assert list(caught.value.message_dict) == ["slug"]


@pytest.mark.parametrize("slug", ["-a", "a-", "A", "a b", "", "a.b", "a\n"])
def test_a_slug_that_is_no_dns_label_cannot_be_written(slug: str) -> None:
    instance = make_instance()
    with pytest.raises(IntegrityError), transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(slug=slug)


def test_two_instances_of_a_host_cannot_share_a_port() -> None:
    one = make_instance(port=23001)
    two = make_instance(host=one.host)
    with pytest.raises(IntegrityError), transaction.atomic():
        Instance.objects.filter(pk=two.pk).update(port=one.port)


def test_one_version_is_the_default() -> None:
    make_version(default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_version(default=True)
    assert Version.objects.filter(default=True).count() == 1


def test_one_domain_is_the_default() -> None:
    make_domain(default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_domain(default=True)
    assert Domain.objects.filter(default=True).count() == 1


def test_an_instance_has_one_unfinished_operation_at_most() -> None:
    instance = make_instance()
    Operation.objects.create(kind=OperationKind.START, instance=instance, host=instance.host)
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.create(kind=OperationKind.STOP, instance=instance, host=instance.host)


def test_finished_operations_do_not_stand_in_the_way() -> None:
    instance = make_instance()
    for _ in range(2):
        Operation.objects.create(
            kind=OperationKind.START,
            instance=instance,
            host=instance.host,
            status=Outcome.SUCCEEDED,
            finished_at=timezone.now(),
        )
    Operation.objects.create(kind=OperationKind.STOP, instance=instance, host=instance.host)


def test_a_version_is_prepared_once_at_a_time_on_a_host() -> None:
    version, host = make_version(), make_host()
    Operation.objects.create(kind=OperationKind.PREPARE, version=version, host=host)
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.create(kind=OperationKind.PREPARE, version=version, host=host)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": Outcome.SUCCEEDED},
        {"status": Outcome.RUNNING, "finished_at": timezone.now()},
        {"kind": OperationKind.PREPARE},
    ],
)
def test_an_operation_that_contradicts_itself_cannot_be_written(wrong: dict[str, Any]) -> None:
    instance = make_instance()
    row = {"kind": OperationKind.START, "instance": instance, "host": instance.host, **wrong}
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.create(**row)


def test_empty_fields_get_their_default() -> None:
    instance = make_instance(
        admin_username="", admin_initial_password="", superadmin_password="", admin_first_name="", event_name="", db=""
    )
    assert instance.admin_username == "Local Administrator"
    assert instance.admin_initial_password
    assert instance.superadmin_password
    assert instance.event_name == "OpenSlides"
    assert instance.db == "sqlite"


@pytest.mark.parametrize("name", ["admin", "Admin", " ADMIN "])
def test_the_local_administrator_cannot_take_the_superadmins_name(name: str) -> None:
    instance = make_instance()
    instance.admin_username = name
    with pytest.raises(ValidationError) as error:
        instance.full_clean()
    assert set(error.value.message_dict) == {"admin_username"}


@pytest.mark.parametrize("field", ["event_name", "event_description", "event_location", "event_date"])
@pytest.mark.parametrize("text", ["x" * 10_000, "two\nlines"])
def test_a_text_that_openslides_would_not_show_is_refused_at_its_field(field: str, text: str) -> None:
    instance = make_instance()
    setattr(instance, field, text)
    with pytest.raises(ValidationError) as error:
        instance.full_clean()
    assert set(error.value.message_dict) == {field}


def test_nothing_is_known_of_an_instance_whose_host_is_silent() -> None:
    host = make_host(last_seen=None)
    instance = make_instance(host=host, installed_at=timezone.now(), observed_state=State.ACTIVE)
    assert instance.state == State.UNKNOWN
    host.last_seen = timezone.now()
    assert instance.state == State.ACTIVE


def test_releases_are_compared_as_numbers() -> None:
    assert make_version(name="3.10").release > make_version(name="3.9").release
    assert make_version(name="3.3-with-plugins").release == (3, 3)


@pytest.mark.parametrize(("engine", "image"), [("virtualenv", "localhost/os:3"), ("podman", "pypi:openslides==3.3")])
def test_engine_and_image_must_fit(engine: str, image: str) -> None:
    version = make_version()
    version.engine, version.image = engine, image
    with pytest.raises(ValidationError) as error:
        version.full_clean()
    assert set(error.value.message_dict) == {"image"}


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
