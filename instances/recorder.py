"""Writes down what a running operation does: its steps, their output, and that its worker is alive."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from deployers.interruption import Interruption
from deployers.plan import Plan, Serving, Step
from instances import claims
from instances.choices import StepStatus
from instances.models import Operation, OperationStep

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
FLUSH_SECONDS = 1.0
OUTPUT_CHARACTERS = 100_000
"""Of a step's output the last so many are kept."""
HIDDEN = "••••••"
TOO_LONG = "It took longer than this step may take, and was ended. Look what it waited for, then ask again."
CANCELLED = "It was cancelled."
TAKEN_OVER = "Another worker runs the operation now."


class Recorder:
    """A context manager round the run of one operation, from its plan to its outcome.

    A thread beats every HEARTBEAT_SECONDS; every FLUSH_SECONDS it writes new output of a long step, and ends one that
    takes too long or whose operation was cancelled. When the claim was lost it sets ``lost``, ends what is being done
    or undone, and stops.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.interruption = Interruption()
        self.undoing = Interruption()
        """The bell of an undo, which is neither cancelled nor too long; but it may be another worker's by now."""
        self.secrets: list[str] = []
        self.steps: list[OperationStep] = []
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._current: OperationStep | None = None
        self._written = 0
        self._began = 0.0
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._beat, name=f"recorder-{operation.pk}", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these in everything that is kept from now on."""
        # The longest first, so that no part of one that holds another stays readable.
        self.secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def begin(self, plan: Plan) -> None:
        """Write the plan's steps, all waiting; what an interrupted run had written is replaced. Two queries."""
        with transaction.atomic():
            claims.beat(self.operation)
            OperationStep.objects.filter(operation=self.operation).delete()
            self.steps = OperationStep.objects.bulk_create(
                OperationStep(operation=self.operation, position=position, name=step.name)
                for position, step in enumerate(plan, start=1)
            )

    def started(self, index: int, planned: Step) -> Interruption:
        """Step ``index`` begins; with what is returned it can be ended. Raises ClaimLost, Cancelled."""
        claims.advance(self.operation, index + 1, final=planned.final, down=planned.serving is Serving.ENDS)
        step = self.steps[index]
        with self._lock:
            self._current, self._written, self._began = step, 0, time.monotonic()
            self._deadline, self.interruption = self._began + planned.seconds, Interruption()
        self.check()
        step.status, step.started_at, step.output = StepStatus.RUNNING, timezone.now(), ""
        step.save(update_fields=["status", "started_at", "output"])
        return self.interruption

    def ended(self, index: int, status: StepStatus) -> None:
        """Step ``index`` is done or has failed. Raises ClaimLost."""
        self.check()
        step = self.steps[index]
        with self._lock:
            self._current = None
        step.status, step.seconds = status, round(time.monotonic() - self._began, 4)
        step.save(update_fields=["status", "seconds", "output"])

    def undone(self, index: int) -> None:
        """What step ``index`` made was taken back."""
        step = self.steps[index]
        step.status = StepStatus.UNDONE if step.status == StepStatus.DONE else step.status
        step.save(update_fields=["status", "output"])

    def log(self, index: int, text: str) -> None:
        """Keep a piece of output of step ``index``."""
        step = self.steps[index]
        line = self.redact(text if text.endswith("\n") else f"{text}\n")
        with self._lock:
            step.output = (step.output + line)[-OUTPUT_CHARACTERS:]
            self._written += 1

    def redact(self, text: str) -> str:
        """The text without the instance's secrets, and without the character that PostgreSQL does not store."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text.replace("\x00", "")

    def check(self) -> None:
        """Raises ClaimLost when another worker runs the operation now."""
        if self.lost.is_set():
            raise claims.ClaimLost(self.operation)

    def _beat(self) -> None:
        try:
            next_beat = time.monotonic() + HEARTBEAT_SECONDS
            flushed = 0
            while not self._ended.wait(FLUSH_SECONDS):
                with self._lock:
                    step, written, output = self._current, self._written, self._current.output if self._current else ""
                try:
                    if step is not None and written and written != flushed:
                        OperationStep.objects.filter(pk=step.pk, status=StepStatus.RUNNING).update(output=output)
                        flushed = written
                    if step is not None and time.monotonic() >= self._deadline:
                        self.interruption.ring(TOO_LONG)
                    if claims.is_cancelled(self.operation) and not self.operation.is_final:
                        self.interruption.ring(CANCELLED)
                    if time.monotonic() >= next_beat:
                        claims.beat(self.operation)
                        next_beat = time.monotonic() + HEARTBEAT_SECONDS
                except DatabaseError as error:
                    # Its disk may be full for a moment, or its server restarted: the step goes on meanwhile.
                    logger.warning("Operation %s: the database failed: %s", self.operation.pk, error)
                    connection.close()
        except claims.ClaimLost:
            # First the word, then the bells: who begins a step or fails at one meanwhile asks check() afterwards.
            self.lost.set()
            with self._lock:
                bells = (self.interruption, self.undoing)
            for bell in bells:
                bell.ring(TAKEN_OVER)
        finally:
            connection.close()
