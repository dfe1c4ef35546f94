"""The log in the admin: for all to read who may, for nobody to write."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client

from tests.factories import make_domain, make_installed, make_operation, make_user

pytestmark = pytest.mark.django_db

PAGE = "/admin/auditlog/logentry/"


def test_it_shows_before_and_after(admin_client: Client) -> None:
    domain = make_domain(domain="before.example.org")
    domain.domain = "after.example.org"
    domain.save()
    entry = LogEntry.objects.get_for_object(domain).first()
    for address in (PAGE, f"{PAGE}{entry.pk}/change/"):
        assert "before.example.org → after.example.org" in admin_client.get(address).content.decode()


def test_it_can_be_read_for_one_instance(admin_client: Client) -> None:
    one, other = make_installed(), make_installed()
    page = admin_client.get(PAGE, {"instance": one.pk}).content.decode()
    assert f"instance {one}" in page
    assert f"instance {other}" not in page


def test_nobody_writes_it_and_only_superusers_delete_from_it(client: Client) -> None:
    make_domain()
    entry = LogEntry.objects.first()
    user = make_user()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="auditlog"))
    client.force_login(user)
    assert client.get(PAGE).status_code == 200
    assert client.get(f"{PAGE}add/").status_code == 403
    assert client.post(f"{PAGE}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{PAGE}{entry.pk}/change/", {"object_repr": "x"}).status_code == 403
    client.force_login(make_user(is_superuser=True))
    assert client.post(f"{PAGE}{entry.pk}/delete/", {"post": "yes"}).status_code == 302


def test_the_list_folds_what_is_long_and_the_page_of_an_entry_shows_all(admin_client: Client) -> None:
    instance = make_installed()
    entry = LogEntry.objects.get_for_object(instance).last()
    assert 'class="mi-more"' in admin_client.get(PAGE, {"instance": instance.pk}).content.decode()
    page = admin_client.get(f"{PAGE}{entry.pk}/change/").content.decode()
    assert 'class="mi-more"' not in page
    assert "<span>event name</span> – → OpenSlides" in page


def test_who_asked_is_shown_with_the_way_and_the_address(admin_client: Client) -> None:
    admin_client.post("/admin/instances/domain/add/", {"domain": "new.example.org"}, REMOTE_ADDR="192.0.2.7")
    assert "admin page · 192.0.2.7" in admin_client.get(PAGE).content.decode()


def test_a_group_that_is_given_is_shown_by_its_name(admin_client: Client) -> None:
    user, group = make_user(), Group.objects.create(name="operators")
    user.groups.add(group)
    entry = LogEntry.objects.get_for_object(user).first()
    for address in (PAGE, f"{PAGE}{entry.pk}/change/"):
        assert "<span>groups</span> – → operators" in admin_client.get(address).content.decode()


def test_the_page_of_an_entry_shows_the_whole_of_a_long_text(admin_client: Client) -> None:
    group = Group.objects.create(name="operators")
    rights = Permission.objects.filter(content_type__app_label="instances")
    group.permissions.set(rights)
    entry = LogEntry.objects.get_for_object(group).first()
    assert "…" in admin_client.get(PAGE).content.decode()
    page = admin_client.get(f"{PAGE}{entry.pk}/change/").content.decode()
    assert all(str(right) in page for right in rights)


def test_who_cancelled_is_shown(admin_client: Client) -> None:
    operation = make_operation()
    admin_client.post(f"/admin/instances/operation/{operation.pk}/cancel/", REMOTE_ADDR="192.0.2.7")
    entry = LogEntry.objects.get_for_object(operation).first()
    page = admin_client.get(f"{PAGE}{entry.pk}/change/").content.decode()
    assert all(text in page for text in ("cancelled", "admin", "admin page", "192.0.2.7"))
