"""The first page: how many instances are in which state, what is running, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import BooleanField, Case, Count, Prefetch, Q, Value, When
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from instances import rollouts
from instances.admin.badges import Badge, duration, host_badge, operation_badge
from instances.admin.instance.filters import is_known
from instances.admin.rollout_page import rollout_badge
from instances.choices import Outcome, State
from instances.models import Backup, Domain, Host, Instance, Operation, OperationStep, Orphan, Rollout, Version
from instances.models.rollout import UNENDED

ROWS = 8
RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    colour: str
    number: int
    url: str


@dataclass(frozen=True, slots=True)
class OperationRow:
    operation: Operation
    badge: Badge
    time: str
    progress: int


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of admin/index.html (unfold's DASHBOARD_CALLBACK)."""
    live_url = reverse("admin:instances_operation_overview")
    return {**context, **overview(request), "title": _("Overview"), "live_url": live_url}


def live_view(request: HttpRequest) -> TemplateResponse:
    """The first page's content as a piece of HTML."""
    headers = {"Cache-Control": "no-store"}
    return TemplateResponse(request, "admin/instances/parts/overview.html", overview(request), headers=headers)


def overview(request: HttpRequest) -> dict[str, Any]:
    """What the user may see of it; thirteen queries at most."""
    user = request.user
    found: dict[str, Any] = {"busy": False, "missing": []}
    if user.has_perm("instances.view_instance"):
        found["tiles"] = _tiles()
        found["total"] = sum(tile.number for tile in found["tiles"])
        found["attention"] = _attention()
        found["may_add"] = user.has_perm("instances.add_instance")
        if found["total"] == 0:
            found["missing"] = _missing(request)
    if user.has_perm("instances.view_operation"):
        found["running"] = _running()
        found["failed"] = _failed()
        found["busy"] = bool(found["running"])
    if user.has_perm("instances.view_rollout"):
        found["rollouts"] = _rollouts()
    if user.has_perm("instances.view_host"):
        found["hosts"] = _hosts()
    if user.has_perm("instances.view_backup"):
        found["damaged"] = Backup.objects.exclude(problem="").count()
    if user.has_perm("instances.view_orphan"):
        found["orphans"] = Orphan.objects.count()
    return found


def _tiles() -> list[Tile]:
    """One query."""
    known = Case(When(is_known(), then=Value(True)), default=Value(False), output_field=BooleanField())
    rows = Instance.objects.present().annotate(known=known).values_list("observed_state", "known")
    counts: dict[State, int] = {}
    for observed, is_shown, number in rows.annotate(number=Count("pk")).order_by():
        state = State(observed) if is_shown else State.UNKNOWN
        counts[state] = counts.get(state, 0) + number
    address = reverse("admin:instances_instance_changelist")
    return [
        Tile(str(state.label), state.badge, counts[state], f"{address}?state={state.value}")
        for state in State
        if state in counts
    ]


def _attention() -> dict[str, Any]:
    """What the system has given up to bring where it is wanted: how many, and the first of them. Two queries."""
    rows = Instance.objects.present().exclude(attention="")
    return {
        "number": rows.count(),
        "rows": rows.select_related("domain").order_by("-state_since", "pk")[:ROWS],
        "url": f"{reverse('admin:instances_instance_changelist')}?attention=yes",
    }


def _running() -> list[OperationRow]:
    """Two queries."""
    steps = Prefetch("steps", OperationStep.objects.only("operation_id", "status"))
    rows = Operation.objects.unfinished().select_related("instance__domain", "version").prefetch_related(steps)
    return [_row(operation, operation.progress) for operation in rows.order_by("-status", "id")[:ROWS]]


def _failed() -> list[OperationRow]:
    """Those that nobody has repaired: of instances that are still in that failure, and of versions. One query."""
    recent = Operation.objects.filter(status=Outcome.FAILED, finished_at__gt=timezone.now() - RECENT)
    instances_in_failure = Q(instance__removed_at=None) & ~Q(instance__failure="")
    versions_in_failure = Q(instance=None, version__preparation="failed")
    rows = recent.filter(instances_in_failure | versions_in_failure).select_related("instance__domain", "version")
    return [_row(operation, 0) for operation in rows[:ROWS]]


def _rollouts() -> list[dict[str, Any]]:
    """Updates of many that run, wait for their time, or have stopped. One query."""
    rows = rollouts.with_counts(Rollout.objects.filter(status__in=UNENDED)).select_related("version").order_by("-id")
    return [{"rollout": one, "badge": rollout_badge(one)} for one in rows[:ROWS]]


def _row(operation: Operation, progress: int) -> OperationRow:
    return OperationRow(operation, operation_badge(operation), duration(operation.seconds), progress)


def _hosts() -> list[dict[str, Any]]:
    """One query."""
    rows = Host.objects.annotate(used=Count("instances", filter=Q(instances__removed_at=None)))
    return [
        {"host": host, "badge": host_badge(host), "percent": min(100, 100 * host.used // max(1, host.capacity))}
        for host in rows[: 2 * ROWS]
    ]


def _missing(request: HttpRequest) -> list[str]:
    """The models of which one has to be added before the first instance, and which this user may add."""
    needed = (("version", Version), ("domain", Domain), ("host", Host))
    return [
        name
        for name, model in needed
        if request.user.has_perm(f"instances.add_{name}") and not model._default_manager.exists()
    ]
