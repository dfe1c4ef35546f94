from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Backup(models.Model):
    """One archive of an instance's database and media."""

    instance = models.ForeignKey(
        "instances.Instance", models.PROTECT, related_name="backups", verbose_name=_("instance")
    )
    version = models.ForeignKey("instances.Version", models.PROTECT, related_name="backups", verbose_name=_("version"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    path = models.CharField(_("path"), max_length=255)
    size = models.PositiveBigIntegerField(_("size"), help_text=_("In bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64)

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.instance} {self.created_at:%Y-%m-%d %H:%M}"
