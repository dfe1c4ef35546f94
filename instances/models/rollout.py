from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import Origin, RolloutItemStatus, RolloutStatus

UNENDED = (RolloutStatus.RUNNING, RolloutStatus.STOPPED)


class Rollout(models.Model):
    """The update of many instances to one version, in waves, which stops by itself when too many fail."""

    version = models.ForeignKey("instances.Version", models.CASCADE, related_name="rollouts", verbose_name=_("version"))
    status = models.CharField(_("status"), max_length=20, choices=RolloutStatus.choices, default=RolloutStatus.RUNNING)
    reason = models.TextField(_("reason"), blank=True, help_text=_("Why it stopped."))
    waves = models.CharField(
        _("waves"),
        max_length=100,
        default="1,5,20%",
        help_text=_("Instances per wave, in numbers or in percent of all; the last one is repeated."),
    )
    failure_percent = models.PositiveSmallIntegerField(
        _("failures allowed"),
        default=10,
        validators=[MaxValueValidator(100)],
        help_text=_("In percent of a wave. When more of it fail, the next one does not begin."),
    )
    wave = models.PositiveIntegerField(_("wave"), default=1, help_text=_("The one that runs."))
    not_before = models.DateTimeField(_("not before"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    requested_via = models.CharField(_("requested via"), max_length=20, choices=Origin.choices, default=Origin.SYSTEM)

    class Meta:
        verbose_name = _("update of many")
        verbose_name_plural = _("updates of many")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} ({timezone.localtime(self.created_at):%Y-%m-%d %H:%M})"


class RolloutItem(models.Model):
    """One instance of a rollout."""

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="items", verbose_name=_("update of many"))
    instance = models.ForeignKey(
        "instances.Instance", models.CASCADE, related_name="rollout_items", verbose_name=_("instance")
    )
    wave = models.PositiveIntegerField(_("wave"))
    status = models.CharField(
        _("status"), max_length=20, choices=RolloutItemStatus.choices, default=RolloutItemStatus.WAITING
    )
    operation = models.ForeignKey(
        "instances.Operation",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="rollout_items",
        verbose_name=_("operation"),
    )
    note = models.TextField(_("note"), blank=True)

    class Meta:
        verbose_name = _("instance of an update of many")
        verbose_name_plural = _("instances of an update of many")
        ordering = ["rollout", "wave", "id"]
        constraints = [models.UniqueConstraint(fields=["rollout", "instance"], name="once_per_rollout")]

    def __str__(self) -> str:
        return f"{self.instance} ({RolloutItemStatus(self.status).label})"
