"""What the first ``make run`` registers, and that later ones leave it as the operator has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from pytest_django.fixtures import Settings

from instances import first_run
from instances.choices import HostKind, OperationKind, Origin
from instances.models import Domain, Host, Operation, Version
from tests.factories import make_domain, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.ADMIN_PASSWORD = ""
    return tmp_path


def test_it_registers_a_host_a_domain_and_two_versions() -> None:
    first_run.register()
    assert list(Host.objects.values_list("name", "kind")) == [("localhost", HostKind.EMBEDDED)]
    assert list(Domain.objects.values_list("domain", "default")) == [("localhost", True)]
    assert list(Version.objects.order_by("name").values_list("name", "image", "default")) == [
        ("3.2", "pypi:openslides==3.2", False),
        ("3.3", "pypi:openslides==3.3", True),
    ]


def test_it_files_the_preparation_of_the_newest_version_only() -> None:
    first_run.register()
    operation = Operation.objects.get()
    assert (operation.kind, str(operation.version), operation.requested_via) == (
        OperationKind.PREPARE,
        str(Version.objects.get(name="3.3")),
        Origin.SYSTEM,
    )


def test_what_an_operator_deletes_does_not_come_back() -> None:
    first_run.register()
    Version.objects.get(name="3.2").delete()
    Domain.objects.all().delete()
    first_run.register()
    assert list(Version.objects.values_list("name", flat=True)) == ["3.3"]
    assert not Domain.objects.exists()
    assert Operation.objects.count() == 1


def test_a_domain_that_is_there_stays_the_default() -> None:
    make_domain(domain="example.org", default=True)
    first_run.register()
    assert Domain.objects.get(default=True).domain == "example.org"


def test_the_generated_password_is_in_the_named_file(data_dir: Path) -> None:
    account = first_run.make_account()
    assert account is not None
    assert account.file == data_dir / "admin-password"
    assert account.file.read_text().strip() == account.password
    assert get_user_model().objects.get(username="admin").check_password(account.password)


def test_a_run_that_was_interrupted_before_the_account_goes_on_with_its_password(data_dir: Path) -> None:
    (data_dir / "admin-password").write_text("from the run before\n")
    account = first_run.make_account()
    assert account is not None
    assert account.password == "from the run before"


def test_where_there_is_a_superuser_no_account_is_made(data_dir: Path) -> None:
    make_user(is_superuser=True)
    assert first_run.make_account() is None
    assert list(data_dir.iterdir()) == []


def test_a_chosen_password_is_not_given_back(data_dir: Path, settings: Settings) -> None:
    settings.ADMIN_PASSWORD = "my own choice"
    account = first_run.make_account()
    assert account is not None
    assert account.password == ""
    assert list(data_dir.iterdir()) == []
