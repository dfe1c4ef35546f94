from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from deployers.spec import VersionSpec
from instances.choices import Engine, Preparation
from instances.validators import validate_image, validate_single_line


def default_engine() -> str:
    """What this installation's hosts run."""
    return Engine.PODMAN if settings.DEPLOYMENT == "systemd" else Engine.VIRTUALENV


class Version(models.Model):
    """A version of OpenSlides that instances may run."""

    name = models.CharField(
        _("name"),
        max_length=60,
        unique=True,
        validators=[
            validate_single_line,
            RegexValidator(r"^\d+\.\d+", _("Begin with the OpenSlides release, like 3.3 or 3.3-with-plugins.")),
        ],
        help_text=_("Begins with the OpenSlides release: 3.3"),
    )
    image = models.CharField(
        _("image"),
        max_length=255,
        validators=[validate_image],
        help_text=_("Where it comes from. From PyPI: pypi:openslides==3.3"),
    )
    engine = models.CharField(_("engine"), max_length=20, choices=Engine.choices, default=default_engine)
    default = models.BooleanField(_("default"), default=False, help_text=_("Preselected for new instances."))
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Offered for new instances and as the target of updates.")
    )
    preparation = models.CharField(
        _("preparation"), max_length=20, choices=Preparation.choices, default=Preparation.NONE, editable=False
    )
    prepared_at = models.DateTimeField(_("prepared at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ["-name"]
        constraints = [
            models.UniqueConstraint(
                fields=["default"],
                condition=models.Q(default=True),
                name="one_default_version",
                violation_error_message=_("Another version is the default already. Take the mark away there first."),
            )
        ]

    def __str__(self) -> str:
        return f"OpenSlides {self.name}"

    def clean(self) -> None:
        if self.image and self.image.startswith("pypi:") != (self.engine == Engine.VIRTUALENV):
            raise ValidationError(
                {"image": _("The engine 'virtualenv' takes images like pypi:openslides==3.3, and no other does.")}
            )

    @property
    def release(self) -> tuple[int, ...]:
        """The OpenSlides release as numbers, for comparing: (3, 3)."""
        numbers = []
        for part in self.name.split("-")[0].split("."):
            if not part.isdigit():
                break
            numbers.append(int(part))
        return tuple(numbers)

    def spec(self) -> VersionSpec:
        """This version as a deployer takes it."""
        return VersionSpec(name=self.name, image=self.image, engine=self.engine)
