"""How long API tokens are valid, and when they are forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.core.exceptions import ValidationError
from django.utils import timezone

from instances import audit, tasks, tokens
from instances.choices import Origin, TokenState
from instances.models import ApiToken
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def make_token(name: str = "deployment", days: int | None = tokens.DEFAULT_DAYS) -> ApiToken:
    token = ApiToken(user=make_user(), name=name)
    tokens.issue(token, days)
    return token


@pytest.mark.parametrize("days", [1, 365, 3650])
def test_it_is_valid_for_so_many_days(days: int) -> None:
    token = make_token(days=days)
    assert abs(token.expiry - timezone.now() - timedelta(days=days)) < timedelta(minutes=5)
    assert token.state == TokenState.VALID


@pytest.mark.parametrize("days", [0, -1, 3651, 10**12])
def test_it_is_valid_for_a_day_at_least_and_ten_years_at_most(days: int) -> None:
    with pytest.raises(ValidationError):
        make_token(days=days)
    assert not ApiToken.objects.exists()


def test_two_of_one_user_have_two_names() -> None:
    token = make_token("deployment")
    with pytest.raises(ValidationError) as refused:
        ApiToken(user=token.user, name="deployment").full_clean(exclude=["token_key"])
    assert list(refused.value.message_dict) == ["name"]
    ApiToken(user=make_user(), name="deployment").full_clean(exclude=["token_key"])


def test_its_state_says_why_it_does_not_work() -> None:
    token = make_token()
    token.user.is_active = False
    assert token.state == TokenState.LOCKED_OUT
    token.expiry = timezone.now()
    assert token.state == TokenState.EXPIRED


def test_expired_ones_are_forgotten_a_month_later_and_others_never() -> None:
    now = timezone.now()
    ages = {
        "long ago": now - timedelta(days=31),
        "lately": now - timedelta(days=29),
        "to come": now + timedelta(days=1),
    }
    for name, expiry in ages.items():
        ApiToken.objects.filter(pk=make_token(name).pk).update(expiry=expiry)
    make_token("for ever", None)
    tasks.forget_what_is_old()
    assert set(ApiToken.objects.values_list("name", flat=True)) == {"lately", "to come", "for ever"}
    entry = LogEntry.objects.get(content_type__model="apitoken", action=LogEntry.Action.DELETE)
    assert (audit.who(entry), audit.via(entry)) == ("", Origin.SYSTEM)
