"""manage.py token."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.test import Client
from django.utils import timezone

from instances import audit
from instances.choices import Origin
from instances.models import ApiToken
from tests.commands.conftest import Run
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_add_prints_the_token_alone_and_all_else_beside_it(manage: Run) -> None:
    make_user("view_domain", username="ada")
    answer = manage("token", "add", "ada", "--name", "deployment")
    assert answer.code == 0
    secret = answer.out.removesuffix("\n")
    assert secret.isprintable()
    assert " " not in secret
    assert secret not in answer.error
    assert "ada" in answer.error
    assert Client().get("/api/osdomains", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    token = ApiToken.objects.get()
    assert token.expiry is not None
    assert (token.expiry - timezone.now()).days in (364, 365)


@pytest.mark.parametrize(("arguments", "days"), [(["--days", "7"], 7), (["--for-ever"], None)])
def test_add_takes_a_time(manage: Run, arguments: list[str], days: int | None) -> None:
    make_user(username="ada")
    assert manage("token", "add", "ada", "--name", "deployment", *arguments).code == 0
    expiry = ApiToken.objects.get().expiry
    assert (expiry is None) is (days is None)
    if expiry is not None and days is not None:
        assert abs(expiry - timezone.now() - timedelta(days=days)) < timedelta(minutes=5)


def test_add_answers_json(manage: Run) -> None:
    make_user(username="ada")
    document = json.loads(manage("token", "add", "ada", "--name", "deployment", "--json").out)
    assert (document["name"], document["user"], document["state"]) == ("deployment", "ada", "valid")
    assert document["token"].startswith(document["begins_with"].removesuffix("…"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "x", "--days", "0"],
        ["--name", "x", "--days", "3651"],
        ["--name", ""],
        ["--name", "two\nlines"],
        ["--name", "n" * 61],
        ["--name", "taken"],
    ],
)
def test_wrong_values_are_exit_code_2_and_make_nothing(manage: Run, arguments: list[str]) -> None:
    make_user(username="ada")
    assert manage("token", "add", "ada", "--name", "taken").code == 0
    answer = manage("token", "add", "ada", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "arguments", [[], ["--name", "x", "--days", "a"], ["--name", "x", "--days", "1", "--for-ever"]]
)
def test_wrong_usage_makes_nothing(manage: Run, arguments: list[str]) -> None:
    make_user(username="ada")
    assert manage("token", "add", "ada", *arguments).code != 0
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("values", [{"is_active": False}, {"is_staff": False}])
def test_whoever_may_not_sign_in_gets_none(manage: Run, values: dict[str, bool]) -> None:
    make_user(username="ada", **values)
    assert manage("token", "add", "ada", "--name", "deployment").code == 2
    assert not ApiToken.objects.exists()


def test_an_unknown_user_is_exit_code_3_and_the_others_are_named(manage: Run) -> None:
    make_user(username="ada")
    answer = manage("token", "add", "bob", "--name", "deployment")
    assert (answer.code, "ada" in answer.error) == (3, True)


def test_list_shows_all_or_those_of_one_user_and_no_secret(manage: Run) -> None:
    make_user(username="ada"), make_user(username="bob")
    secrets = [manage("token", "add", user, "--name", f"of {user}").out.strip() for user in ("ada", "bob")]
    everything, one = manage("token", "list").out, manage("token", "list", "ada").out
    assert all(f"of {user}" in everything for user in ("ada", "bob"))
    assert "of ada" in one
    assert "of bob" not in one
    assert not any(secret in everything for secret in secrets)
    documents = json.loads(manage("token", "list", "--json").out)
    assert [document["name"] for document in documents] == ["of bob", "of ada"]
    assert not any(secret in json.dumps(documents) for secret in secrets)


def test_an_empty_list_says_how_to_go_on(manage: Run) -> None:
    assert "manage.py token add" in manage("token", "list").out


def test_remove_ends_it_at_once(manage: Run) -> None:
    make_user(username="ada")
    secret = manage("token", "add", "ada", "--name", "deployment").out.strip()
    number = str(ApiToken.objects.get().pk)
    assert manage("token", "remove", number).code == 0
    assert Client().get("/api", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    assert manage("token", "remove", number).code == 3


def test_remove_answers_json(manage: Run) -> None:
    make_user(username="ada")
    made = json.loads(manage("token", "add", "ada", "--name", "deployment", "--json").out)
    removed = json.loads(manage("token", "remove", str(made["id"]), "--json").out)
    assert removed == {name: value for name, value in made.items() if name != "token"}


def test_the_log_has_it_from_the_command_line(manage: Run) -> None:
    make_user(username="ada")
    manage("token", "add", "ada", "--name", "deployment")
    manage("token", "remove", str(ApiToken.objects.get().pk))
    entries = LogEntry.objects.filter(content_type__model="apitoken")
    assert [audit.via(entry) for entry in entries] == [Origin.COMMAND, Origin.COMMAND]
