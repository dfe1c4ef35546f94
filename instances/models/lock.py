from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import LOCKABLE, OperationKind
from instances.validators import validate_single_line


class ActionLock(models.Model):
    """One kind of operation that nobody may ask for on one instance, the system itself neither."""

    instance = models.ForeignKey("instances.Instance", models.CASCADE, related_name="locks", verbose_name=_("instance"))
    action = models.CharField(
        _("action"), max_length=20, choices=[(kind.value, kind.label) for kind in LOCKABLE], db_index=False
    )
    reason = models.CharField(
        _("reason"),
        max_length=200,
        validators=[validate_single_line],
        help_text=_("Shown to everybody who asks for the action."),
    )
    locked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("locked by"),
    )
    locked_at = models.DateTimeField(_("locked at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("lock")
        verbose_name_plural = _("locks")
        ordering = ["instance", "action"]
        constraints = [models.UniqueConstraint(fields=["instance", "action"], name="one_lock_per_action")]

    def get_additional_data(self) -> dict[str, str | None]:
        """What auditlog keeps besides: by this it belongs to the log of its instance."""
        return {"instance": self.instance_id}

    def __str__(self) -> str:
        return f"{OperationKind(self.action).label}: {self.reason}"
