"""Orphans in the admin: listed with what is known of them, and removed by their host."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.choices import OrphanKind
from instances.models import Orphan
from tests.factories import make_host, make_installed, make_user

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
    admin_client.post(f"{PAGE}{orphan.pk}/delete/")
    orphan.refresh_from_db()
    assert orphan.removal_asked_at is not None
    assert orphan.removal_asked_by is not None


def test_the_page_before_says_what_would_be_lost(admin_client: Client, orphan: Orphan) -> None:
    gone = make_installed(removed_at=timezone.now())
    Orphan.objects.update(instance_id=gone.pk)
    for page in (
        admin_client.get(f"{PAGE}{orphan.pk}/delete/"),
        admin_client.post(PAGE, {"action": "remove_selected", "_selected_action": [orphan.pk]}),
    ):
        text = page.content.decode()
        assert "All files of the instance" in text
        assert str(gone) in text
    orphan.refresh_from_db()
    assert orphan.removal_asked_at is None


def test_many_are_removed_at_once(admin_client: Client, orphan: Orphan) -> None:
    other = Orphan.objects.create(host=orphan.host, kind=OrphanKind.ADDRESS, name="address", instance_id="b" * 32)
    third = Orphan.objects.create(host=orphan.host, kind=OrphanKind.ROLE, name="role", instance_id="b" * 32)
    sent = {"action": "remove_selected", "confirmed": "yes", "_selected_action": [orphan.pk, other.pk]}
    assert "2 orphans" in admin_client.post(PAGE, sent, follow=True).content.decode()
    assert list(Orphan.objects.filter(removal_asked_at=None)) == [third]


def test_nobody_deletes_only_the_row(admin_client: Client, orphan: Orphan) -> None:
    sent = {"action": "delete_selected", "post": "yes", "_selected_action": [orphan.pk]}
    admin_client.post(PAGE, sent, follow=True)
    assert Orphan.objects.exists()


def test_the_list_takes_the_same_queries_for_one_row_as_for_many(admin_client: Client, orphan: Orphan) -> None:
    counts = []
    for count in range(3):
        gone = make_installed(removed_at=timezone.now())
        Orphan.objects.create(host=make_host(), kind=OrphanKind.ROLE, name=f"{count}", instance_id=gone.pk)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1] == counts[2]


def test_the_first_page_leads_to_them(admin_client: Client, client: Client, orphan: Orphan) -> None:
    assert f'href="{PAGE}"' in admin_client.get("/admin/").content.decode().split("mi-warning")[1]
    client.force_login(make_user("view_instance"))
    assert "mi-warning" not in client.get("/admin/").content.decode()
    orphan.delete()
    assert "mi-warning" not in admin_client.get("/admin/").content.decode()


@pytest.mark.parametrize("identity", ["0", "x", "9" * 40])
def test_what_is_not_there_any_more_is_not_found(admin_client: Client, identity: str) -> None:
    assert admin_client.post(f"{PAGE}{identity}/delete/").status_code == 404


def test_who_may_only_look_can_remove_nothing(client: Client, orphan: Orphan) -> None:
    client.force_login(make_user("view_orphan"))
    assert client.get(PAGE).status_code == 200
    assert client.post(f"{PAGE}{orphan.pk}/delete/").status_code == 403
    client.post(PAGE, {"action": "remove_selected", "confirmed": "yes", "_selected_action": [orphan.pk]})
    assert not Orphan.objects.exclude(removal_asked_at=None).exists()
    client.force_login(make_user("view_instance"))
    assert client.get(PAGE).status_code == 403
