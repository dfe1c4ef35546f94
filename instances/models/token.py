from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from instances.choices import TokenState
from instances.validators import validate_single_line

SHOWN_CHARACTERS = 12


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """With it a program signs in to the API as a user. Only the hash of the secret is kept, and how that begins.

    knox's fields, and for what the token is. What is declared anew has other options here.
    """

    # Not the primary key, which stands in addresses and in the log.
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(
        _("name"),
        max_length=60,
        validators=[validate_single_line],
        help_text=_("What it is for. The log names it with everything that is done with the token."),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="auth_token_set",
        limit_choices_to={"is_active": True, "is_staff": True},
        verbose_name=_("user"),
    )
    expiry = models.DateTimeField(_("expires"), null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created", "-id"]
        # A token is never changed.
        default_permissions = ("add", "view", "delete")
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="one_token_per_user_and_name")]

    @property
    def beginning(self) -> str:
        """By this its owner knows it again."""
        return f"{self.token_key[:SHOWN_CHARACTERS]}…"

    @property
    def is_expired(self) -> bool:
        return self.expiry is not None and self.expiry <= timezone.now()

    @property
    def state(self) -> TokenState:
        """Reads ``user``."""
        if self.is_expired:
            return TokenState.EXPIRED
        return TokenState.VALID if self.user.is_active and self.user.is_staff else TokenState.LOCKED_OUT

    def clean(self) -> None:
        others: models.QuerySet[Any] = type(self)._default_manager.filter(user=self.user_id, name=self.name)
        if others.exclude(pk=self.pk).exists():
            raise ValidationError({"name": gettext("This user has a token with this name already.")})

    def __str__(self) -> str:
        return f"{self.name} ({self.user})"
