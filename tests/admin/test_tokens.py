"""API tokens in the admin: shown once, of oneself or, for whoever may change users, of others."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import audit, tokens
from instances.choices import Origin
from instances.models import ApiToken
from tests.factories import make_domain, make_user

pytestmark = pytest.mark.django_db

LIST = "/admin/instances/apitoken/"
ADD = f"{LIST}add/"
ALL = ("view_apitoken", "add_apitoken", "delete_apitoken")
SECRET = re.compile(r"osmi_[0-9a-f]{64}")


def make_token(user: AbstractBaseUser, name: str = "deployment", days: int | None = 365) -> ApiToken:
    token = ApiToken(user=user, name=name)
    tokens.issue(token, days)
    return token


def signed_in_as(user: AbstractBaseUser) -> Client:
    client = Client()
    client.force_login(user)
    return client


def changer_of_users() -> AbstractBaseUser:
    user = make_user(*ALL)
    user.user_permissions.add(Permission.objects.get(codename="change_user"))
    return user


def text(answer: Any) -> str:
    return answer.content.decode()  # type: ignore[no-any-return]


def test_a_new_one_is_shown_once_and_works(browser: Client) -> None:
    user = make_user("view_domain")
    page = browser.post(ADD, {"name": "deployment", "user": user.pk, "days": "30"})
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    (secret,) = set(SECRET.findall(text(page)))
    assert Client().get("/api/osdomains", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    token = ApiToken.objects.get()
    assert (token.name, token.user, (token.expiry - timezone.now()).days) == ("deployment", user, 29)
    for address in (LIST, f"{LIST}{token.pk}/change/", f"{LIST}{token.pk}/history/", f"{LIST}{token.pk}/delete/"):
        shown = text(browser.get(address))
        assert secret not in shown
        assert token.digest not in shown
    assert all(secret not in str(session.get_decoded()) for session in Session.objects.all())


def test_sent_twice_it_makes_one(browser: Client) -> None:
    sent = {"name": "deployment", "user": make_user().pk, "days": "30"}
    browser.post(ADD, sent)
    assert "has a token with this name already" in text(browser.post(ADD, sent))
    assert ApiToken.objects.count() == 1


def test_the_form_begins_with_oneself_and_a_year(browser: Client) -> None:
    form = browser.get(ADD).context["adminform"].form
    assert int(form["user"].value()) == int(browser.session["_auth_user_id"])
    assert form["days"].value() == 365


def test_the_form_is_in_the_browser_s_language(browser: Client) -> None:
    page = text(browser.get(ADD, headers={"Accept-Language": "de"}))
    assert all(word in page for word in ("Gültig für (Tage)", "Höchstens 3650.", "Token erstellen"))


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        ({"days": "0"}, "days"),
        ({"days": "3651"}, "days"),
        ({"days": ""}, "days"),
        ({"days": "x"}, "days"),
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"user": "999999"}, "user"),
    ],
)
def test_wrong_values_come_back_with_the_reason(browser: Client, sent: dict[str, str], at: str) -> None:
    answer = browser.post(ADD, {"name": "deployment", "user": make_user().pk, "days": "30", **sent})
    assert list(answer.context["adminform"].form.errors) == [at]
    assert not ApiToken.objects.exists()


def test_without_an_end_only_when_that_is_said(browser: Client) -> None:
    sent = {"name": "deployment", "user": make_user().pk, "days": ""}
    browser.post(ADD, {**sent, "for_ever": "on"})
    token = ApiToken.objects.get()
    assert token.expiry is None
    assert "never" in text(browser.get(LIST))


@pytest.mark.parametrize("values", [{"is_active": False}, {"is_staff": False}])
def test_whoever_may_not_sign_in_gets_none(browser: Client, values: dict[str, bool]) -> None:
    user = make_user(**values)
    answer = browser.post(ADD, {"name": "deployment", "user": user.pk, "days": "30"})
    assert list(answer.context["adminform"].form.errors) == ["user"]


def test_whoever_may_not_change_users_makes_and_sees_only_own_ones() -> None:
    user, other = make_user(*ALL), make_user(is_superuser=True)
    client, foreign = signed_in_as(user), make_token(other, "of somebody else")
    assert "user" not in client.get(ADD).context["adminform"].form.fields
    client.post(ADD, {"name": "mine", "user": other.pk, "days": "30"})
    own = ApiToken.objects.exclude(pk=foreign.pk).get()
    assert own.user == user
    page = text(client.get(LIST))
    assert "mine" in page
    assert "of somebody else" not in page
    for view in ("change", "delete", "history"):
        assert client.get(f"{LIST}{foreign.pk}/{view}/").status_code in (302, 404)
    client.post(f"{LIST}{foreign.pk}/delete/", {"post": "yes"})
    client.post(LIST, {"action": "delete_selected", "_selected_action": [foreign.pk], "post": "yes"})
    assert ApiToken.objects.filter(pk=foreign.pk).exists()
    client.post(f"{LIST}{own.pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.filter(pk=own.pk).exists()


def test_whoever_may_make_them_but_not_see_them_is_led_elsewhere() -> None:
    page = text(signed_in_as(make_user("add_apitoken")).post(ADD, {"name": "mine", "days": "30"}))
    assert 'data-look="primary" href="/admin/"' in page


def test_a_second_own_one_of_the_same_name_is_refused() -> None:
    client = signed_in_as(make_user(*ALL))
    client.post(ADD, {"name": "mine", "days": "30"})
    answer = client.post(ADD, {"name": "mine", "days": "30"})
    assert list(answer.context["adminform"].form.errors) == ["name"]


def test_whoever_may_change_users_makes_and_sees_those_of_all() -> None:
    client, other = signed_in_as(changer_of_users()), make_user()
    client.post(ADD, {"name": "for somebody else", "user": other.pk, "days": "30"})
    assert ApiToken.objects.get().user == other
    assert other.get_username() in text(client.get(LIST))


@pytest.mark.parametrize(("lacking", "method", "address"), [
    ("view_apitoken", "get", LIST),
    ("add_apitoken", "get", ADD),
    ("add_apitoken", "post", ADD),
    ("delete_apitoken", "post", f"{LIST}{{pk}}/delete/"),
])  # fmt: skip
def test_each_needs_its_permission(lacking: str, method: str, address: str) -> None:
    user = make_user(*(set(ALL) - {lacking}))
    token = make_token(user)
    sent = {"name": "another", "days": "30", "post": "yes"}
    assert getattr(signed_in_as(user), method)(address.format(pk=token.pk), sent).status_code == 403
    assert ApiToken.objects.count() == 1


def test_the_page_of_a_token_is_about_its_user(browser: Client) -> None:
    token = make_token(make_user(username="ada", is_active=False))
    page = text(browser.get(f"{LIST}{token.pk}/change/"))
    assert "deployment (ada)" in page
    assert ">user without access<" in page


def test_nothing_of_a_token_can_be_changed(browser: Client) -> None:
    token = make_token(make_user())
    answer = browser.post(f"{LIST}{token.pk}/change/", {"name": "another", "days": "3650"})
    assert answer.status_code == 403
    assert ApiToken.objects.get().name == "deployment"


def test_the_list_tells_the_states(browser: Client) -> None:
    make_token(make_user(), "good")
    make_token(make_user(is_active=False), "locked out")
    ApiToken.objects.filter(pk=make_token(make_user(), "old").pk).update(expiry=timezone.now() - timedelta(days=1))
    page = text(browser.get(LIST))
    assert all(word in page for word in (">valid<", ">expired<", ">user without access<"))


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(browser: Client) -> None:
    counts = []
    for more in (1, 10):
        for number in range(more):
            make_token(make_user(), str(number))
        with CaptureQueriesContext(connection) as queries:
            browser.get(LIST)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_making_and_deleting_one_is_in_the_log(browser: Client) -> None:
    browser.post(ADD, {"name": "deployment", "user": make_user(username="ada").pk, "days": "30"})
    browser.post(f"{LIST}{ApiToken.objects.get().pk}/delete/", {"post": "yes"})
    entries = LogEntry.objects.filter(content_type__model="apitoken").order_by("pk")
    assert [(entry.object_repr, audit.via(entry)) for entry in entries] == [("deployment (ada)", Origin.ADMIN)] * 2
    page = text(browser.get("/admin/auditlog/logentry/"))
    assert "API token deployment (ada)" in page


def test_the_log_shows_with_which_token_it_was_done(browser: Client) -> None:
    user, domain = make_user(is_superuser=True, username="ada"), make_domain()
    token = ApiToken(user=user, name="nightly")
    secret = tokens.issue(token, 1)
    Client().delete(f"/api/osdomains/{domain.pk}", headers={"authorization": f"Bearer {secret}"})
    entry = LogEntry.objects.get(content_type__model="domain", action=LogEntry.Action.DELETE)
    assert "with the token nightly" in text(browser.get("/admin/auditlog/logentry/"))
    assert "with the token nightly" in text(browser.get("/admin/auditlog/logentry/", {"q": "nightly"}))
    assert "with the token nightly" not in text(browser.get("/admin/auditlog/logentry/", {"q": "weekly"}))
    assert ">nightly<" in text(browser.get(f"/admin/auditlog/logentry/{entry.pk}/change/"))
