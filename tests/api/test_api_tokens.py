"""API tokens: a program signs in with one, as the user whose it is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances import tokens
from instances.choices import Origin
from instances.models import ApiToken
from tests.api.client import Api, basic, resource
from tests.factories import make_domain, make_installed, make_user

pytestmark = pytest.mark.django_db


def make_token(user: AbstractBaseUser, name: str = "deployment", days: int | None = 365) -> tuple[ApiToken, str]:
    token = ApiToken(user=user, name=name)
    return token, tokens.issue(token, days)


def with_token(secret: str) -> Api:
    api = Api()
    api.headers = {"authorization": f"Bearer {secret}"}
    return api


def refusal(answer: Any) -> Any:
    assert answer.status_code == 401
    return json.loads(answer.content)["errors"][0]


def test_it_reads_and_writes_as_its_user() -> None:
    domain = make_domain()
    _token, secret = make_token(make_user("view_domain", "change_domain"))
    api = with_token(secret)
    assert api.get(f"/osdomains/{domain.pk}")["data"]["attributes"]["domain"] == domain.domain
    api.patch(f"/osdomains/{domain.pk}", resource("osdomains", {"domain": "new.example.org"}, id=str(domain.pk)))
    api.get("/instances", expect=403)
    api.call("DELETE", f"/osdomains/{domain.pk}", expect=403)


def test_an_account_without_a_password_can_have_one() -> None:
    user = make_user("view_domain")
    user.set_unusable_password()
    user.save()
    with_token(make_token(user)[1]).get("/osdomains")


def test_the_word_bearer_is_read_in_any_case() -> None:
    _token, secret = make_token(make_user("view_domain"))
    for word in ("bearer", "BEARER"):
        assert Client().get("/api/osdomains", headers={"authorization": f"{word} {secret}"}).status_code == 200


def test_it_costs_one_query_and_no_password_hash(settings: Any) -> None:
    user = make_user(is_superuser=True)
    secrets = [make_token(user, str(number))[1] for number in range(5)]
    # With no hasher that knows it, no password is right.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with CaptureQueriesContext(connection) as queries:
        with_token(secrets[2]).get("/")
    assert len(queries) == 1


def test_only_its_hash_is_stored() -> None:
    token, secret = make_token(make_user())
    stored = ApiToken.objects.filter(pk=token.pk).values().get()
    assert secret not in str(stored)
    assert stored["token_key"] == secret[:15]
    assert len(secret) - 15 > 50
    assert secret.startswith("osmi_")


def test_an_expired_one_is_refused_and_the_answer_says_so() -> None:
    token, secret = make_token(make_user("view_domain"))
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    answer = with_token(secret).call("GET", "/osdomains")
    error = refusal(answer)
    assert error["code"] == "token_expired"
    assert "has expired" in error["detail"]
    assert 'Bearer realm="OpenSlides instances", error="invalid_token"' in answer["WWW-Authenticate"]
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_one_without_an_end_does_not_expire() -> None:
    token, secret = make_token(make_user("view_domain"), days=None)
    assert token.expiry is None
    with_token(secret).get("/osdomains")


def test_that_it_has_expired_is_only_said_to_whom_it_belongs() -> None:
    _token, secret = make_token(make_user())
    ApiToken.objects.update(expiry=timezone.now() - timedelta(days=1))
    assert refusal(with_token(secret[:-1] + "x").call("GET", "/"))["code"] == "token_unknown"


def test_a_deleted_one_is_refused() -> None:
    token, secret = make_token(make_user("view_domain"))
    with_token(secret).get("/osdomains")
    token.delete()
    assert refusal(with_token(secret).call("GET", "/osdomains"))["code"] == "token_unknown"


def test_that_of_a_disabled_user_is_refused() -> None:
    user = make_user("view_domain")
    _token, secret = make_token(user)
    user.is_active = False
    user.save()
    assert refusal(with_token(secret).call("GET", "/osdomains"))["code"] == "account_disabled"


def test_that_of_somebody_who_is_not_staff_any_more_lets_nobody_in() -> None:
    user = make_user("view_domain")
    _token, secret = make_token(user)
    type(user).objects.update(is_staff=False)
    with_token(secret).call("GET", "/osdomains", expect=403)
    with_token(secret).call("GET", "/", expect=403)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer osmi_",
        "Bearer osmi_0123456789",
        "Bearer a\x00b",
        "Bearer \xe4",
        "Bearer \xff\xfe",
        "Bearer " + "f" * 10_000,
        "Bearer " + "f" * 64,
        "Bearer '; drop table",
        "Bearer {digest}",
        "Bearer {key}",
    ],
)
def test_what_is_no_token_is_no_failure_of_the_server(header: str) -> None:
    token, _secret = make_token(make_user(is_superuser=True))
    sent = header.format(digest=token.digest, key=token.token_key)
    answer: Any = Client(raise_request_exception=False).get("/api/instances", headers={"authorization": sent})
    assert refusal(answer)["code"] == "token_unknown"
    assert answer["WWW-Authenticate"].isascii()


def test_a_wrong_token_is_refused_beside_a_session_that_is_good() -> None:
    client = Client()
    client.force_login(make_user(is_superuser=True))
    assert client.get("/api/instances").status_code == 200
    assert client.get("/api/instances", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_401_names_both_ways_to_sign_in() -> None:
    realm = 'realm="OpenSlides instances"'
    assert Api().call("GET", "/instances", expect=401)["WWW-Authenticate"] == f"Basic {realm}, Bearer {realm}"
    wrong = Client().get("/api/instances", headers={"authorization": basic("nobody")})
    assert wrong["WWW-Authenticate"] == f"Basic {realm}, Bearer {realm}"


def test_the_refusal_is_in_the_client_s_language() -> None:
    answer: Any = Client().get("/api/instances", headers={"authorization": "Bearer x", "accept-language": "de"})
    assert "kein solches API-Token" in refusal(answer)["detail"]


def test_a_token_is_no_key_to_the_admin_pages() -> None:
    _token, secret = make_token(make_user(is_superuser=True))
    answer = Client().get("/admin/", headers={"authorization": f"Bearer {secret}"})
    assert answer.status_code == 302


def test_the_log_says_with_which_token_it_was_done(api: Api) -> None:
    user = make_user("view_domain", "change_domain", username="ada")
    domain = make_domain()
    _token, secret = make_token(user, "nightly deployment")
    with_token(secret).patch(
        f"/osdomains/{domain.pk}", resource("osdomains", {"domain": "with-a-token.example.org"}, id=str(domain.pk))
    )
    Api(user).patch(
        f"/osdomains/{domain.pk}", resource("osdomains", {"domain": "with-a-password.example.org"}, id=str(domain.pk))
    )
    entries = api.get("/audit?filter[resource_type]=osdomains&filter[action]=update&sort=id")["data"]
    found = [(one["attributes"]["who"], one["attributes"]["via"], one["attributes"]["token"]) for one in entries]
    assert found == [("ada", "api", "nightly deployment"), ("ada", "api", None)]
    only = api.get("/audit?filter[token]=nightly%20deployment")["data"]
    assert [one["id"] for one in only] == [entries[0]["id"]]


def test_an_operation_that_was_asked_for_with_a_token_names_it_in_the_log() -> None:
    instance = make_installed()
    _token, secret = make_token(make_user("view_instance", "change_instance"), "deployment")
    sent = resource("instances", {"state": "stopped"}, id=instance.pk)
    with_token(secret).patch(f"/instances/{instance.pk}", sent)
    entry = LogEntry.objects.get(content_type__model="operation")
    assert (entry.additional_data["via"], entry.additional_data["token"]) == (Origin.API, "deployment")


def test_making_and_deleting_one_is_in_the_log_and_its_secret_never(api: Api) -> None:
    user = make_user(username="ada")
    token, secret = make_token(user, "deployment")
    digest, number = token.digest, str(token.pk)
    with_token(secret).get("/", expect=200)
    token.delete()
    answer = api.call("GET", "/audit?filter[resource_type]=api-tokens&sort=id", expect=200)
    found = [one["attributes"] for one in json.loads(answer.content)["data"]]
    assert [one["action"] for one in found] == ["create", "delete"]
    assert {(one["resource_id"], one["resource_name"]) for one in found} == {(number, "deployment (ada)")}
    text = " ".join(str(entry) for entry in LogEntry.objects.values())
    assert all(hidden not in text for hidden in (secret, secret[:15], digest))


def test_those_of_a_deleted_user_go_with_them_and_are_logged() -> None:
    user = make_user(username="ada")
    make_token(user)
    user.delete()
    assert not ApiToken.objects.exists()
    assert LogEntry.objects.filter(content_type__model="apitoken", action=LogEntry.Action.DELETE).count() == 1


def test_no_permission_to_view_tokens_is_needed_to_use_one() -> None:
    user = make_user("view_domain")
    assert not user.has_perm("instances.view_apitoken")
    assert Permission.objects.filter(content_type__model="apitoken").count() == 3
    with_token(make_token(user)[1]).get("/osdomains")
