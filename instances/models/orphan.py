from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import OrphanKind


class Orphan(models.Model):
    """Something on a host that belongs to no instance, as it was last seen."""

    host = models.ForeignKey("instances.Host", models.CASCADE, related_name="orphans", verbose_name=_("host"))
    kind = models.CharField(_("kind"), max_length=20, choices=OrphanKind.choices)
    name = models.CharField(_("name"), max_length=255)
    instance_id = models.CharField(
        _("instance"), max_length=32, blank=True, help_text=_("The id that it was made for, as far as its name says.")
    )
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    removal_asked_at = models.DateTimeField(_("removal asked for at"), null=True, blank=True)
    removal_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("removal asked for by"),
    )
    problem = models.TextField(_("problem"), blank=True, help_text=_("Why it could not be removed."))

    class Meta:
        verbose_name = _("orphan")
        verbose_name_plural = _("orphans")
        ordering = ["host", "kind", "name"]
        constraints = [models.UniqueConstraint(fields=["host", "kind", "name"], name="orphans_are_listed_once")]

    def __str__(self) -> str:
        return f"{OrphanKind(self.kind).label} {self.name}"
