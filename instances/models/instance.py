from __future__ import annotations

import secrets
import string
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from deployers.spec import Account, Event, InstanceSpec, Location
from instances import states
from instances.choices import BackupInterval, Db, Desired, Mode, OperationKind, State
from instances.deployment import UnsupportedHost, deployer_for
from instances.fields import EncryptedTextField
from instances.models.operation import Operation
from instances.validators import DNS_LABEL, validate_single_line, validate_slug

PASSWORD_ALPHABET = "".join(set(string.ascii_letters + string.digits) - set("0O1lI"))
"""Without the characters that are read wrongly from paper."""


def new_instance_id() -> str:
    """32 hexadecimal digits, as in the seed."""
    return uuid.uuid4().hex


def new_password() -> str:
    """16 characters of 57: 93 bits."""
    return "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(16))


def new_secret_key() -> str:
    """The SECRET_KEY of an instance's Django."""
    return secrets.token_urlsafe(50)


class InstanceQuerySet(models.QuerySet["Instance"]):
    def present(self) -> InstanceQuerySet:
        """Those that are not removed."""
        return self.filter(removed_at=None)

    def with_operation(self) -> InstanceQuerySet:
        """Each with the kind of its unfinished operation as ``operation_kind`` (or None), in the same query."""
        unfinished = Operation.objects.unfinished().filter(instance=models.OuterRef("pk"))
        return self.annotate(operation_kind=models.Subquery(unfinished.values("kind")[:1]))

    def hold(self, instance_id: str | None) -> Instance | None:
        """Lock the row until the end of the transaction, and read it as it is now.

        A transaction that writes an instance and its operations begins with this: of two that lock the same rows in
        another order each, PostgreSQL ends one ("deadlock detected"). Rows that refer to the instance can be made
        meanwhile (NO KEY).
        """
        return self.select_for_update(no_key=True).filter(pk=instance_id).first()


class Instance(models.Model):
    """One OpenSlides: what is wanted of it, and what was last seen of it."""

    id = models.CharField(primary_key=True, max_length=32, default=new_instance_id, editable=False)
    slug = models.CharField(
        _("slug"),
        max_length=63,
        validators=[validate_slug],
        help_text=_("The instance's name in its address: lower case letters, digits and hyphens."),
    )
    domain = models.ForeignKey("instances.Domain", models.PROTECT, related_name="instances", verbose_name=_("domain"))
    host = models.ForeignKey("instances.Host", models.PROTECT, related_name="instances", verbose_name=_("host"))
    mode = models.CharField(
        _("mode"),
        max_length=20,
        choices=Mode.choices,
        default=Mode.SUBDOMAIN,
        help_text=_("How the instance is reached. The embedded host gives each instance a port, whatever stands here."),
    )
    db = models.CharField(
        _("database"), max_length=20, choices=Db.choices, blank=True, help_text=_("Empty: the host's default.")
    )
    version = models.ForeignKey(
        "instances.Version", models.PROTECT, related_name="instances", verbose_name=_("version")
    )

    event_name = models.CharField(
        _("event name"),
        max_length=100,
        default="OpenSlides",
        validators=[validate_single_line],
        help_text=_("Shown on the projector and in documents."),
    )
    event_description = models.CharField(
        _("event description"),
        max_length=100,
        blank=True,
        default="Presentation and assembly system",
        validators=[validate_single_line],
    )
    event_date = models.CharField(
        _("event date"),
        max_length=100,
        blank=True,
        validators=[validate_single_line],
        help_text=_("As it shall be shown."),
    )
    event_location = models.CharField(
        _("event location"), max_length=100, blank=True, validators=[validate_single_line]
    )
    event_organizer = models.CharField(
        _("event organizer"),
        max_length=100,
        blank=True,
        validators=[validate_single_line],
        help_text=_("For your own records; OpenSlides has no such value."),
    )

    admin_first_name = models.CharField(
        _("first name"), max_length=100, default="Local", validators=[validate_single_line]
    )
    admin_last_name = models.CharField(
        _("last name"), max_length=100, default="Administrator", validators=[validate_single_line]
    )
    admin_username = models.CharField(
        _("user name"),
        max_length=150,
        blank=True,
        validators=[validate_single_line],
        help_text=_("Of the event's own administrator. Empty: made of first and last name."),
    )
    admin_initial_password = EncryptedTextField(
        _("initial password"),
        blank=True,
        default=new_password,
        validators=[validate_single_line, MaxLengthValidator(128)],
        help_text=_("Of the event's own administrator. Empty: a new one is generated."),
    )
    superadmin_password = EncryptedTextField(
        _("superadmin password"),
        blank=True,
        default=new_password,
        validators=[validate_single_line, MaxLengthValidator(128)],
        help_text=_("Of the account 'admin' in OpenSlides. Empty: a new one is generated."),
    )
    secret_key = EncryptedTextField(_("secret key"), default=new_secret_key, editable=False)
    projector_logo = models.ForeignKey(
        "instances.Blob",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="instances",
        verbose_name=_("projector logo"),
    )

    always_on = models.BooleanField(
        _("always on"),
        default=False,
        help_text=_("It does not sleep: for the days of the assembly."),
    )
    idle_minutes = models.PositiveIntegerField(
        _("idle time"),
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(10_080)],
        help_text=_("Minutes without a request after which it sleeps, where the host lets instances sleep."),
    )
    workers = models.PositiveSmallIntegerField(
        _("server processes"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(16)],
        help_text=_("More than one for assemblies of some hundred people, where the host has Redis."),
    )
    port = models.PositiveIntegerField(_("port"), null=True, blank=True, editable=False)
    desired_state = models.CharField(
        _("desired state"), max_length=20, choices=Desired.choices, default=Desired.ACTIVE, editable=False
    )
    observed_state = models.CharField(
        _("observed state"), max_length=20, choices=State.choices, default=State.NEW, editable=False, db_index=True
    )
    state_since = models.DateTimeField(_("in this state since"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(
        _("last used"), null=True, blank=True, editable=False, help_text=_("When somebody was last connected to it.")
    )
    failure = models.CharField(
        _("failed operation"), max_length=20, choices=OperationKind.choices, blank=True, editable=False
    )
    retries = models.PositiveSmallIntegerField(_("tries to mend it"), default=0, editable=False)
    retry_at = models.DateTimeField(_("next try at"), null=True, blank=True, editable=False)
    attention = models.TextField(
        _("needs attention"), blank=True, editable=False, help_text=_("Why it is not tried any more.")
    )
    backup_hours = models.PositiveSmallIntegerField(
        _("backups"),
        choices=BackupInterval.choices,
        default=BackupInterval.NEVER,
        help_text=_("How often it is backed up by itself."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    installed_at = models.DateTimeField(_("installed at"), null=True, blank=True, editable=False)
    removed_at = models.DateTimeField(_("removed at"), null=True, blank=True, editable=False)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        verbose_name = _("instance")
        verbose_name_plural = _("instances")
        ordering = ["-created_at", "id"]
        permissions = [
            ("view_credentials", _("Can see the passwords of instances")),
            ("purge_instance", _("Can remove instances at once, with all their backups")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "slug"],
                condition=models.Q(removed_at=None),
                name="unique_slug_of_present_instances",
                violation_error_message=_("There is an instance with this slug in this domain already."),
            ),
            models.UniqueConstraint(fields=["host", "port"], name="unique_port_of_host"),
            models.CheckConstraint(
                condition=models.Q(slug__regex=DNS_LABEL.replace(r"\Z", "$")) & ~models.Q(slug__contains="\n"),
                name="slug_is_dns_label",
                violation_error_message=validate_slug.message,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slug}.{self.domain.domain}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("update_fields") is None:
            self.fill_in()
        super().save(*args, **kwargs)

    def fill_in(self) -> None:
        """Put the default where a value was left empty (null or an empty text)."""
        self.admin_initial_password = self.admin_initial_password or new_password()
        self.superadmin_password = self.superadmin_password or new_password()
        self.admin_first_name = self.admin_first_name or "Local"
        self.admin_last_name = self.admin_last_name or "Administrator"
        self.admin_username = self.admin_username or f"{self.admin_first_name} {self.admin_last_name}"[:150]
        self.event_name = self.event_name or "OpenSlides"
        self.db = self.db or (Db.POSTGRESQL if settings.DEPLOYMENT == "systemd" else Db.SQLITE)

    def clean(self) -> None:
        if self.admin_username and self.admin_username.strip().lower() == "admin":
            raise ValidationError(
                {"admin_username": _("'admin' is the superadmin's name. Choose another, or leave it empty.")}
            )
        if self.installed_at is None and self.has_control_plane_name:
            raise ValidationError(
                {"slug": _("This is the address of the control plane itself. Choose another slug, or another domain.")}
            )

    @property
    def has_control_plane_name(self) -> bool:
        """Whether a production host's web server would answer its name with the control plane. Reads ``domain``.

        "If a name matches more than one, the exact name comes first" (nginx, server_name).
        """
        if settings.DEPLOYMENT != "systemd" or self.domain_id is None:
            return False
        return str(self).lower() in {name.lower() for name in settings.ALLOWED_HOSTS}

    @property
    def is_installed(self) -> bool:
        return self.installed_at is not None

    @property
    def state(self) -> State:
        """The observed state as it may be shown: unknown when the host is not heard of. Reads ``host``."""
        return State(self.observed_state) if self.host.is_heard or not self.is_installed else State.UNKNOWN

    @property
    def image(self) -> str:
        return self.version.image

    @property
    def url(self) -> str:
        """The instance's address; empty while the host has given it none. Reads ``host`` and ``domain``, no secret."""
        try:
            deployer = deployer_for(self.host.kind)
        except UnsupportedHost:
            return ""
        return deployer.url(Location(self.slug, self.domain.domain, self.mode, self.port, self.domain_id))

    @property
    def unfinished_operation(self) -> Operation | None:
        """The operation that is waiting or running, if there is one; one query."""
        return self.operations.unfinished().first()

    def facts(self, operation: str | None) -> states.Facts:
        """What the pure function of states needs. ``operation``: the kind of the unfinished operation."""
        return states.Facts(
            installed=self.is_installed,
            desired=Desired(self.desired_state),
            operation=OperationKind(operation) if operation else None,
            failure=OperationKind(self.failure) if self.failure else None,
        )

    def spec(self) -> InstanceSpec:
        """This instance as a deployer takes it. Reads ``domain``, ``version`` and ``projector_logo``."""
        return InstanceSpec(
            id=self.id,
            slug=self.slug,
            domain=self.domain.domain,
            mode=self.mode,
            db=self.db,
            version=self.version.spec(),
            event=Event(self.event_name, self.event_description, self.event_date, self.event_location),
            admin=Account(
                self.admin_first_name, self.admin_last_name, self.admin_username, self.admin_initial_password
            ),
            superadmin_password=self.superadmin_password,
            secret_key=self.secret_key,
            port=self.port,
            logo=Path(self.projector_logo.file.path) if self.projector_logo else None,
            domain_id=self.domain_id,
            certificate=self.domain.certificate,
            certificate_key=self.domain.certificate_key,
            idle_seconds=self.idle_minutes * 60.0,
            always_on=self.always_on,
            workers=self.workers,
        )
