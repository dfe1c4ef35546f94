"""Rows with sensible values, for tests. Whatever a test is about, it names itself."""

from __future__ import annotations

import itertools
from io import BytesIO
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.core.files.base import ContentFile
from django.utils import timezone
from PIL import Image

from instances.choices import OperationKind, Preparation, State
from instances.models import Backup, Blob, Domain, Host, Instance, Operation, Version

PASSWORD = "a-password-for-tests"

_numbers = itertools.count(1)


def make_host(**values: Any) -> Host:
    """An embedded host that was heard of just now."""
    return Host.objects.create(**{"name": f"host-{next(_numbers)}", "last_seen": timezone.now(), **values})


def make_domain(**values: Any) -> Domain:
    return Domain.objects.create(**{"domain": f"domain-{next(_numbers)}.example.org", **values})


def make_version(**values: Any) -> Version:
    """A prepared one from PyPI. Each has another name; all are releases of OpenSlides 3.3."""
    return Version.objects.create(
        **{
            "name": f"3.3-{next(_numbers)}",
            "image": "pypi:openslides==3.3",
            "preparation": Preparation.PREPARED,
            **values,
        }
    )


def make_instance(**values: Any) -> Instance:
    """One that is new: nothing was installed yet, and nothing is filed."""
    values.setdefault("slug", f"assembly-{next(_numbers)}")
    for field, make in (("host", make_host), ("domain", make_domain), ("version", make_version)):
        if field not in values:
            values[field] = make()
    return Instance.objects.create(**values)


def make_installed(**values: Any) -> Instance:
    """One that was created completely and is active."""
    return make_instance(**{"installed_at": timezone.now(), "observed_state": State.ACTIVE, **values})


def make_operation(**values: Any) -> Operation:
    """One that waits: the start of an installed instance, unless something else is named."""
    if "instance" not in values and "version" not in values:
        values["instance"] = make_installed()
    if "host" not in values:
        values["host"] = values["instance"].host if values.get("instance") else make_host()
    return Operation.objects.create(**{"kind": OperationKind.START, **values})


def make_backup(**values: Any) -> Backup:
    """A complete one, whose archive is not there, of an installed instance."""
    instance = values.setdefault("instance", None) or make_installed()
    number = next(_numbers)
    return Backup.objects.create(
        **{
            "version": instance.version,
            "host": instance.host,
            "db": instance.db,
            "name": f"{instance.pk}/2026-11-23T10-00-00Z-manual-{number:08x}.tar",
            "completed_at": timezone.now(),
            "size": 1_234_567,
            "sha256": f"{number:064x}",
            **values,
            "instance": instance,
        }
    )


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    """A real picture."""
    file = BytesIO()
    Image.new("RGB", size, (0, 90, 160)).save(file, "PNG")
    return file.getvalue()


def make_blob(content: bytes | None = None) -> Blob:
    blob = Blob()
    blob.file.save("logo.png", ContentFile(content if content is not None else png()), save=False)
    blob.save()
    return blob


def make_user(*permissions: str, **values: Any) -> AbstractBaseUser:
    """A staff member with the password PASSWORD. ``permissions``: code names, like ``view_instance``."""
    user = get_user_model().objects.create_user(
        **{"username": f"user-{next(_numbers)}", "password": PASSWORD, "is_staff": True, **values}
    )
    granted = Permission.objects.filter(content_type__app_label="instances", codename__in=permissions)
    assert granted.count() == len(permissions), f"No such permission among {permissions}"
    user.user_permissions.set(granted)
    return user
