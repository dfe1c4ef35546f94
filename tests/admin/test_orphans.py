"""Orphans in the admin: listed with what is known of them, and removed by their host."""

from __future__ import annotations

import pytest
from django.test import Client

from instances.choices import OrphanKind
from instances.models import Orphan
from tests.factories import make_host, make_user

pytestmark = pytest.mark.django_db

PAGE = "/admin/instances/orphan/"


@pytest.fixture
def orphan() -> Orphan:
    return Orphan.objects.create(
        host=make_host(), kind=OrphanKind.DIRECTORY, name="/srv/openslides/instances/" + "a" * 32, instance_id="a" * 32
    )


def test_an_empty_list_says_what_it_is_for(admin_client: Client) -> None:
    assert "belongs to no instance" in admin_client.get(PAGE).content.decode()


def test_to_delete_one_is_to_let_its_host_remove_it(admin_client: Client, orphan: Orphan) -> None:
    for address in (PAGE, f"{PAGE}{orphan.pk}/change/", f"{PAGE}{orphan.pk}/delete/"):
        assert orphan.name in admin_client.get(address).content.decode()
    admin_client.post(f"{PAGE}{orphan.pk}/delete/", {"post": "yes"})
    orphan.refresh_from_db()
    assert orphan.removal_asked_at is not None
    assert orphan.removal_asked_by is not None


def test_who_may_only_look_can_remove_nothing(client: Client, orphan: Orphan) -> None:
    client.force_login(make_user("view_orphan"))
    assert client.get(PAGE).status_code == 200
    assert client.post(f"{PAGE}{orphan.pk}/delete/", {"post": "yes"}).status_code == 403
    client.force_login(make_user("view_instance"))
    assert client.get(PAGE).status_code == 403
