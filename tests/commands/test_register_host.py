"""manage.py register_host: what the set-up of a production host registers."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from instances.choices import Engine, HostKind, OperationKind
from instances.models import Domain, Host, Operation, Version

pytestmark = pytest.mark.django_db


def register(images: Path, **options: Any) -> list[str]:
    out = StringIO()
    call_command("register_host", name="one", domain="example.org", images=images, stdout=out, **options)
    return out.getvalue().splitlines()


def test_it_registers_host_domain_and_account(tmp_path: Path, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "chosen by the operator"
    said = register(tmp_path)
    assert said[-1] == "changed"
    host = Host.objects.get()
    assert (host.name, host.kind, host.queue) == ("one", HostKind.SYSTEMD, "host.one")
    assert Domain.objects.get(default=True).domain == "example.org"
    assert User.objects.get(is_superuser=True).check_password("chosen by the operator")


def test_a_second_run_changes_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "openslides-3.3.tar").touch()
    register(tmp_path)
    Host.objects.update(capacity=7)
    assert register(tmp_path) == ["unchanged"]
    assert Host.objects.get().capacity == 7


def test_it_registers_a_version_for_each_image_and_the_newest_is_the_default(tmp_path: Path) -> None:
    for name in ("openslides-2.3.tar", "openslides-3.3.tar", "openslides-3.3.json", "other.tar"):
        (tmp_path / name).touch()
    register(tmp_path)
    found = {version.name: version for version in Version.objects.all()}
    assert set(found) == {"2.3", "3.3"}
    assert found["3.3"].image == f"oci-archive:{tmp_path}/openslides-3.3.tar"
    assert found["3.3"].engine == Engine.PODMAN
    assert (found["3.3"].default, found["2.3"].default) == (True, False)
    assert Operation.objects.filter(kind=OperationKind.PREPARE).count() == 2


def test_an_image_that_comes_later_is_registered_then(tmp_path: Path) -> None:
    register(tmp_path)
    (tmp_path / "openslides-3.3.tar").touch()
    assert register(tmp_path) == ["Registered: version 3.3", "changed"]


def test_without_podman_no_image_of_it_is_registered(tmp_path: Path, settings: Any) -> None:
    settings.ENGINES = ["rkt"]
    (tmp_path / "openslides-3.3.tar").touch()
    register(tmp_path)
    assert not Version.objects.exists()


def test_a_domain_that_is_none_is_refused_and_nothing_is_registered(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="domain"):
        call_command("register_host", name="one", domain="https://example.org/", images=tmp_path, stdout=StringIO())
    assert not Host.objects.exists()
