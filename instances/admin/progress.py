"""An operation and its steps, as a piece of a page that brings itself up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch
from django.db.models.functions import Length, Right
from django.http import HttpRequest
from django.utils import timezone

from instances.admin.badges import Badge, duration, operation_badge
from instances.choices import OperationKind, Outcome, StepStatus
from instances.models import Operation, OperationStep
from instances.models.operation import OperationQuerySet

TAIL_CHARACTERS = 4000
"""Of a step's output so much is shown while it is asked for again and again; the operation's own page shows all."""

_ICONS = {
    StepStatus.WAITING: "radio_button_unchecked",
    StepStatus.RUNNING: "progress_activity",
    StepStatus.DONE: "check_circle",
    StepStatus.FAILED: "error",
    StepStatus.UNDONE: "undo",
}


@dataclass(frozen=True, slots=True)
class StepLine:
    """One line of the card. ``cut``: there is more output than this."""

    name: str
    status: StepStatus
    icon: str
    time: str
    output: str
    cut: bool


@dataclass(frozen=True, slots=True)
class Card:
    """What the template ``operation_card.html`` shows. ``waits_for``: the card of what has to end before."""

    operation: Operation
    badge: Badge
    progress: int
    time: str
    steps: list[StepLine]
    may_open: bool
    host_is_missing: bool
    waits_for: Card | None = None
    may_cancel: bool = False

    @property
    def is_update(self) -> bool:
        return self.operation.kind == OperationKind.UPDATE

    @property
    def busy(self) -> bool:
        """Whether it is worth looking again soon."""
        return not self.operation.is_finished and self.operation.status != Outcome.POSTPONED

    @property
    def downtime(self) -> str:
        return duration(self.operation.down_seconds) if self.operation.down_seconds is not None else ""


def with_steps(operations: OperationQuerySet, *, whole: bool = False) -> OperationQuerySet:
    """With everything that a card reads: three queries. ``whole``: the steps' complete output."""
    steps = OperationStep.objects.order_by("position").annotate(length=Length("output"))
    if not whole:
        steps = steps.defer("output").annotate(tail=Right("output", TAIL_CHARACTERS))
    return operations.select_related(
        "instance__domain",
        "version",
        "backup__instance__domain",
        "host",
        "requested_by",
        "waits_for__instance__domain",
        "waits_for__version",
    ).prefetch_related(Prefetch("steps", steps), Prefetch("waits_for__steps", steps))


def card_of(operation: Operation | None, request: HttpRequest) -> Card | None:
    """The card of an operation that was read by :func:`with_steps`."""
    if operation is None:
        return None
    before = operation.waits_for
    waits = operation.status == Outcome.QUEUED and before is not None and not before.is_finished
    return Card(
        operation=operation,
        badge=operation_badge(operation),
        progress=operation.progress,
        time=duration(operation.seconds),
        steps=[_line(step) for step in operation.steps.all()],
        may_open=request.user.has_perm("instances.view_operation"),
        host_is_missing=operation.status == Outcome.QUEUED and not operation.host.is_heard,
        waits_for=_card_before(before, operation, request) if waits and before is not None else None,
        may_cancel=operation.can_cancel and request.user.has_perm("instances.change_instance"),
    )


def _card_before(before: Operation, operation: Operation, request: HttpRequest) -> Card:
    # It waits on the same host, so there is no second one to be read.
    before.host = operation.host
    before.waits_for = None
    card = card_of(before, request)
    assert card is not None
    return card


def _line(step: Any) -> StepLine:
    """``step`` has ``length``, and ``tail`` where its output was not read."""
    status = StepStatus(step.status)
    seconds = step.seconds
    if status == StepStatus.RUNNING and step.started_at is not None:
        seconds = (timezone.now() - step.started_at).total_seconds()
    tail = getattr(step, "tail", None)
    output = step.output if tail is None else tail
    return StepLine(
        name=step.name,
        status=status,
        icon=_ICONS[status],
        time=duration(seconds),
        output=output,
        cut=len(output) < step.length,
    )
