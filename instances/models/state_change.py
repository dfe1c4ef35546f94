from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import Desired, State


class StateChange(models.Model):
    """An instance was seen in another state than before, or another one is wanted. Both hold until the next change."""

    instance = models.ForeignKey(
        "instances.Instance", models.CASCADE, related_name="state_changes", verbose_name=_("instance")
    )
    state = models.CharField(_("state"), max_length=20, choices=State.choices)
    wanted = models.CharField(_("wanted state"), max_length=20, choices=Desired.choices, default=Desired.ACTIVE)
    at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("change of state")
        verbose_name_plural = _("changes of state")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["instance", "at"], name="state_changes_of_instance")]

    def __str__(self) -> str:
        return f"{State(self.state).label}, {timezone.localtime(self.at):%Y-%m-%d %H:%M:%S}"
