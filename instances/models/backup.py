from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import BackupReason, Db


class BackupQuerySet(models.QuerySet["Backup"]):
    def complete(self) -> BackupQuerySet:
        """Those whose archive is there."""
        return self.filter(completed_at__isnull=False)

    def newest(self) -> BackupQuerySet:
        """Complete ones, the newest data first. When it was asked for says nothing of that."""
        return self.complete().order_by("-completed_at", "-id")

    def best(self) -> Backup | None:
        """The newest good one; the newest of the damaged ones where there is no other. Two queries at most."""
        return self.newest().filter(problem="").first() or self.newest().first()


class Backup(models.Model):
    """One archive of an instance: database, media and settings. The row is there before the archive is complete."""

    instance = models.ForeignKey(
        "instances.Instance", models.PROTECT, related_name="backups", verbose_name=_("instance")
    )
    version = models.ForeignKey("instances.Version", models.PROTECT, related_name="backups", verbose_name=_("version"))
    host = models.ForeignKey("instances.Host", models.PROTECT, related_name="backups", verbose_name=_("host"))
    db = models.CharField(_("database"), max_length=20, choices=Db.choices)
    reason = models.CharField(_("reason"), max_length=20, choices=BackupReason.choices, default=BackupReason.MANUAL)
    name = models.CharField(_("name"), max_length=200, unique=True, help_text=_("Of the archive in the backup store."))
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)
    expires_at = models.DateTimeField(
        _("expires at"), null=True, blank=True, help_text=_("Empty: kept until it is deleted.")
    )
    size = models.PositiveBigIntegerField(_("size"), default=0, help_text=_("In bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True)
    verified_at = models.DateTimeField(_("verified at"), null=True, blank=True)
    problem = models.TextField(_("problem"), blank=True, help_text=_("What the last verification found."))

    objects = BackupQuerySet.as_manager()

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        ordering = ["-created_at", "-id"]
        permissions = [
            ("download_backup", _("Can download backups")),
            ("restore_backup", _("Can restore backups")),
        ]

    def get_additional_data(self) -> dict[str, str | None]:
        """What auditlog keeps besides: by this it belongs to the log of its instance."""
        return {"instance": self.instance_id}

    def __str__(self) -> str:
        return f"{self.instance} {timezone.localtime(self.created_at):%Y-%m-%d %H:%M}"

    @property
    def is_complete(self) -> bool:
        return self.completed_at is not None
