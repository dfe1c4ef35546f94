from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances.choices import HostKind
from instances.validators import validate_slug

HEARD_WITHIN = timedelta(seconds=60)


class Host(models.Model):
    """A machine that runs instances. Its worker takes the tasks of its queue."""

    name = models.CharField(
        _("name"), max_length=63, unique=True, validators=[validate_slug], help_text=_("Short name of the machine.")
    )
    kind = models.CharField(
        _("kind"),
        max_length=20,
        choices=HostKind.choices,
        default=HostKind.EMBEDDED,
        help_text=_("Embedded: instances run beside the control plane, without root."),
    )
    capacity = models.PositiveIntegerField(
        _("capacity"), default=100, help_text=_("How many instances may be placed on this host.")
    )
    last_seen = models.DateTimeField(_("last seen"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("host")
        verbose_name_plural = _("hosts")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        """The Celery queue of the worker on this host."""
        return f"host.{self.name}"

    @property
    def is_heard(self) -> bool:
        """Whether the host's worker reported within the last minute."""
        return self.last_seen is not None and abs(timezone.now() - self.last_seen) < HEARD_WITHIN
