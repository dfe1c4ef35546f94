from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from instances.choices import OperationKind, Origin, Outcome, StepStatus

UNFINISHED = (Outcome.QUEUED, Outcome.RUNNING)


class OperationQuerySet(models.QuerySet["Operation"]):
    def unfinished(self) -> OperationQuerySet:
        """Those that wait or run. One that is postponed has not begun."""
        return self.filter(status__in=UNFINISHED)

    def claimable(self) -> OperationQuerySet:
        """Those that wait and could run now: what they wait for has ended."""
        return self.filter(status=Outcome.QUEUED).exclude(waits_for__finished_at=None, waits_for__isnull=False)


class Operation(models.Model):
    """Something that was asked for: who, what, how far it is, and how it ended. Kept as the instance's history."""

    kind = models.CharField(_("kind"), max_length=20, choices=OperationKind.choices)
    recipient = models.EmailField(_("recipient"), blank=True, help_text=_("Of a test mail."))
    status = models.CharField(_("status"), max_length=20, choices=Outcome.choices, default=Outcome.QUEUED)
    instance = models.ForeignKey(
        "instances.Instance",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="operations",
        verbose_name=_("instance"),
    )
    version = models.ForeignKey(
        "instances.Version",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="operations",
        verbose_name=_("version"),
        help_text=_("The version to prepare, or to update to."),
    )
    image = models.CharField(
        _("image"),
        max_length=255,
        blank=True,
        editable=False,
        help_text=_("What a preparation has prepared; empty when it was discarded since."),
    )
    host = models.ForeignKey("instances.Host", models.CASCADE, related_name="operations", verbose_name=_("host"))
    waits_for = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="waiting", verbose_name=_("waits for")
    )
    backup = models.ForeignKey(
        "instances.Backup",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="operations",
        verbose_name=_("backup"),
        help_text=_("The one that is made, or that it starts from."),
    )
    from_backup = models.BooleanField(
        _("starts from a backup"),
        default=False,
        editable=False,
        help_text=_("Stays when the backup is gone: without it nothing is created in its place."),
    )
    safety_backup = models.ForeignKey(
        "instances.Backup",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="safety_of",
        verbose_name=_("safety backup"),
        help_text=_("The one that is made before anything is changed."),
    )
    not_before = models.DateTimeField(_("not before"), null=True, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    requested_via = models.CharField(_("requested via"), max_length=20, choices=Origin.choices, default=Origin.SYSTEM)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    failed_step = models.CharField(_("failed step"), max_length=100, blank=True)
    error = models.TextField(_("error"), blank=True)
    down_seconds = models.FloatField(
        _("downtime"), null=True, blank=True, help_text=_("Seconds in which OpenSlides did not answer.")
    )
    down_since = models.DateTimeField(_("down since"), null=True, blank=True, editable=False)
    previous_desired = models.CharField(_("desired state before"), max_length=20, blank=True, editable=False)
    reached = models.PositiveSmallIntegerField(
        _("steps begun"), default=0, editable=False, help_text=_("The most that any run of it began.")
    )
    is_final = models.BooleanField(_("cannot be cancelled any more"), default=False, editable=False)
    cancel_asked_at = models.DateTimeField(_("cancel asked for at"), null=True, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    worker = models.CharField(_("worker"), max_length=200, blank=True, editable=False)
    heartbeat_boot = models.FloatField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Of the same heartbeat: seconds since the worker's machine was started."),
    )
    heartbeat_at = models.DateTimeField(_("heartbeat"), null=True, blank=True, editable=False)

    objects = OperationQuerySet.as_manager()

    class Meta:
        verbose_name = _("operation")
        verbose_name_plural = _("operations")
        ordering = ["-id"]
        indexes = [models.Index(fields=["status"], condition=Q(finished_at=None), name="operation_unfinished")]
        constraints = [
            models.UniqueConstraint(
                fields=["instance"],
                condition=Q(status__in=UNFINISHED),
                name="one_unfinished_operation_per_instance",
            ),
            models.UniqueConstraint(
                fields=["instance", "kind"],
                condition=Q(status=Outcome.POSTPONED),
                name="one_postponed_operation_per_instance_and_kind",
            ),
            models.UniqueConstraint(
                fields=["version", "host"],
                condition=Q(finished_at=None, kind=OperationKind.PREPARE),
                name="one_unfinished_prepare_per_version_and_host",
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None, status__in=[Outcome.POSTPONED, *UNFINISHED])
                | Q(finished_at__isnull=False, status__in=[Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED]),
                name="finished_has_an_outcome",
            ),
            models.CheckConstraint(
                condition=Q(kind=OperationKind.PREPARE, version__isnull=False, instance=None)
                | Q(kind=OperationKind.VERIFY, instance=None)
                | Q(~Q(kind__in=[OperationKind.PREPARE, OperationKind.VERIFY]), instance__isnull=False),
                name="operation_has_its_subject",
            ),
        ]

    def get_additional_data(self) -> dict[str, str | None]:
        """What auditlog keeps besides: by this it belongs to the log of its instance."""
        return {"instance": self.instance_id, "via": self.requested_via}

    def __str__(self) -> str:
        return gettext("%(kind)s %(subject)s") % {"kind": self.get_kind_display(), "subject": self.subject}

    @property
    def subject(self) -> str:
        """What it is done to, by name."""
        return str(self.instance or self.backup or self.version or "")

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.status)

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    @property
    def can_cancel(self) -> bool:
        """Whether it can still be cancelled. One whose cancellation was asked for is being cancelled already."""
        return not self.is_finished and not self.is_final and self.cancel_asked_at is None

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran; None before it starts."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def progress(self) -> int:
        """Finished steps in percent of all; 100 only when the operation succeeded. Reads ``steps`` (prefetch them)."""
        if self.status == Outcome.SUCCEEDED:
            return 100
        statuses = [step.status for step in self.steps.all()]
        if not statuses:
            return 0
        return min(99, 100 * statuses.count(StepStatus.DONE) // len(statuses))


class OperationStep(models.Model):
    """One step of an operation's plan, and what came of it."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="steps", verbose_name=_("operation"))
    position = models.PositiveSmallIntegerField(_("position"))
    name = models.CharField(_("name"), max_length=100)
    status = models.CharField(_("status"), max_length=20, choices=StepStatus.choices, default=StepStatus.WAITING)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    seconds = models.FloatField(_("seconds"), null=True, blank=True)
    output = models.TextField(_("output"), blank=True)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["operation", "position"], name="unique_step_position")]

    def __str__(self) -> str:
        return self.name
