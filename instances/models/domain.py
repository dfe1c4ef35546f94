from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from deployers.spec import DomainSpec
from instances.validators import validate_domain


class Domain(models.Model):
    """A domain name that instances hang under."""

    domain = models.CharField(
        _("domain"),
        max_length=180,
        unique=True,
        validators=[validate_domain],
        help_text=_("For example assembly.example.org; instances are found at SLUG.assembly.example.org."),
    )
    certificate = models.CharField(
        _("certificate"),
        max_length=255,
        blank=True,
        help_text=_("Path of the TLS certificate chain on the host. Empty where there is none."),
    )
    certificate_key = models.CharField(
        _("certificate key"),
        max_length=255,
        blank=True,
        help_text=_("Path of the certificate's private key on the host."),
    )
    problem = models.TextField(_("problem"), blank=True, editable=False)
    default = models.BooleanField(_("default"), default=False, help_text=_("Preselected for new instances."))

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["domain"]
        constraints = [
            models.UniqueConstraint(
                fields=["default"],
                condition=models.Q(default=True),
                name="one_default_domain",
                violation_error_message=_("Another domain is the default already. Take the mark away there first."),
            )
        ]

    def __str__(self) -> str:
        return self.domain

    def spec(self) -> DomainSpec:
        """This domain as a deployer takes it."""
        return DomainSpec(self.pk, self.domain, self.certificate, self.certificate_key)

    def clean(self) -> None:
        for field in ("certificate", "certificate_key"):
            path = getattr(self, field)
            if path and not path.startswith("/"):
                raise ValidationError({field: _("Enter an absolute path.")})
        if bool(self.certificate) != bool(self.certificate_key):
            missing = "certificate_key" if self.certificate else "certificate"
            raise ValidationError({missing: _("Certificate and key belong together: fill in both or none.")})
