"""Who did what, to what, from where, and what it was before: django-auditlog, and what it does not see by itself.

Changes of rows are written by auditlog when models are saved. What the system itself finds out (states, heartbeats,
ports) is no deed of anybody's, and is excluded. Secrets are masked.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditlog.context import auditlog_value, set_extra_data
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import Model, Q, QuerySet
from django.db.models.signals import pre_save
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from instances.choices import Origin

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from instances.models import Instance

SECRETS = ("admin_initial_password", "superadmin_password", "secret_key", "password")
HIDDEN = "••••••"
SEEN_BY_THE_SYSTEM = [
    "observed_state",
    "state_since",
    "last_used_at",
    "failure",
    "installed_at",
    "removed_at",
    "port",
    "retries",
    "retry_at",
    "attention",
]

_via: ContextVar[str] = ContextVar("via", default=Origin.SYSTEM.value)
_who: ContextVar[str] = ContextVar("who", default="")
_token: ContextVar[str] = ContextVar("token", default="")


def register() -> None:
    """Let auditlog see our models; once, when the application is ready."""
    from instances import models

    def follow(model: type[Model], *excluded: str, many: tuple[str, ...] = ()) -> None:
        # Named one by one: auditlog would take what other models say of this one for its own.
        names = [field.name for field in model._meta.concrete_fields if field.name not in (*excluded, "id")]
        secrets = [name for name in SECRETS if name in names]
        auditlog.register(
            model,
            include_fields=names,
            mask_fields=secrets,
            mask_callable="instances.audit.hide",
            m2m_fields=many,
        )

    follow(models.Instance, *SEEN_BY_THE_SYSTEM)
    follow(models.Version, "preparation", "prepared_at")
    follow(models.Domain, "problem")
    follow(models.Host, "last_seen")
    follow(models.ActionLock)
    # Its user stands in its name.
    follow(models.ApiToken, "digest", "token_key", "created", "user")
    follow(get_user_model(), "last_login", many=("groups", "user_permissions"))
    follow(Group, many=("permissions",))
    auditlog.register(models.Operation, include_fields=["kind", "instance", "version", "backup", "not_before"])
    auditlog.register(models.Backup, include_fields=["instance", "reason", "name", "expires_at"])
    auditlog.register(models.Rollout, include_fields=["version", "waves", "failure_percent", "not_before", "status"])
    pre_save.connect(_add_origin, sender=LogEntry, dispatch_uid="instances.audit")


def hide(value: str) -> str:
    """A secret as the log has it. auditlog's own way shows half of it."""
    return HIDDEN if value and value != "None" else ""


def _add_origin(sender: type[Model], instance: LogEntry, **kwargs: Any) -> None:
    """By which way it came, with which API token, and who it was: the user, or that of the operating system where
    nobody had logged in."""
    found = dict(instance.additional_data or {})
    found.setdefault("via", _via.get())
    if _who.get():
        found.setdefault("who", _who.get())
    if _token.get():
        found.setdefault("token", _token.get())
    instance.additional_data = found


class AuditMiddleware:
    """Whatever is written during a request was done by its user. After Django's AuthenticationMiddleware.

    The user's name is kept besides: the log still says it when the account is deleted.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        user = getattr(request, "user", None)
        actor = user if user is not None and user.is_authenticated else None
        via = _via.set(Origin.API if request.path.startswith("/api") else Origin.ADMIN)
        who = _who.set(actor.get_username() if actor is not None else "")
        token = _token.set("")
        try:
            with set_extra_data({"actor": actor, "remote_addr": remote_address(request)}):
                return self.get_response(request)
        finally:
            _via.reset(via)
            _who.reset(who)
            _token.reset(token)


def remote_address(request: HttpRequest) -> str | None:
    """Who is at the other end. Behind our own nginx (SECURE_PROXY_SSL_HEADER) that is the last address which it added:
    whatever stands before it was said by the client. None where it is a unix socket without a proxy."""
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or None
    return request.META.get("REMOTE_ADDR") or None


def identify(user: User, token: str = "") -> None:
    """This request's user, who was authenticated after the middleware (HTTP Basic, or an API token of that name)."""
    context = auditlog_value.get(None)
    if context is not None:
        context["actor"] = user
        _who.set(user.get_username())
        _token.set(token)


@contextmanager
def on_the_command_line() -> Iterator[None]:
    """Whatever is written in this block was done by who called the command."""
    via, who = _via.set(Origin.COMMAND), _who.set(getpass.getuser())
    try:
        yield
    finally:
        _via.reset(via)
        _who.reset(who)


def note(subject: Model, action: str, request: HttpRequest | None = None) -> None:
    """Write down what changes no row: ``action`` is a word like "downloaded".

    ``request``: whose it was, where this is not called inside of one.
    """
    entry = LogEntry.objects.log_create(subject, action=LogEntry.Action.ACCESS, force_log=True)
    if entry is None:
        return
    # An operation says by which way it was asked for; this may come by another.
    entry.additional_data = {**(entry.additional_data or {}), "action": action, "via": _via.get()}
    if request is not None and entry.actor_id is None and request.user.is_authenticated:
        entry.actor, entry.remote_addr = request.user, remote_address(request)
    entry.save()


def entries_of(instance: Instance) -> QuerySet[LogEntry]:
    """All that was done to an instance: to its row, and by operations, backups and locks that name it."""
    found: QuerySet[LogEntry] = LogEntry.objects.filter(belonging_to(instance.pk))
    return found.select_related("actor", "content_type").order_by("-timestamp", "-id")


def belonging_to(instance_id: str) -> Q:
    """The entries of an instance, which may be gone."""
    own = Q(content_type__app_label="instances", content_type__model="instance", object_pk=instance_id)
    return own | Q(additional_data__instance=instance_id)


def who(entry: LogEntry) -> str:
    """The name of the one who did it; empty for the system itself. Reads ``actor``."""
    return str(entry.actor or (entry.additional_data or {}).get("who") or "")


def via(entry: LogEntry) -> Origin | None:
    """By which way; None where that was not written down."""
    found = (entry.additional_data or {}).get("via")
    return Origin(found) if found in Origin.values else None


def token(entry: LogEntry) -> str:
    """The name of the API token that it was done with; empty where it was none."""
    return str((entry.additional_data or {}).get("token") or "")


def changes(entry: LogEntry) -> dict[str, tuple[str | None, str | None]]:
    """Before and after, by field; None for nothing. A secret that was changed is hidden on both sides.

    Of groups and permissions those are named that were given (after) or taken away (before), and not all there are.
    """
    written: dict[str, Any] = entry.changes_dict
    read = {name: _pair(change) for name, change in written.items()}
    return {name: pair for name, pair in read.items() if pair[0] != pair[1] or pair[0] == HIDDEN}


def _pair(change: Any) -> tuple[str | None, str | None]:
    """auditlog writes before and after of a field, and of a relation to many what was added or deleted."""
    match change:
        case [before, after]:
            return _value(before), _value(after)
        case {"type": "m2m", "operation": operation, "objects": [*rows]}:
            names = ", ".join(sorted(str(row) for row in rows))
            return (None, names) if operation == "add" else (names, None)
        case _:
            return None, None


def _value(written: Any) -> str | None:
    """auditlog writes texts, and "None" for null."""
    return None if written in (None, "None", "") else str(written)


def prune() -> None:
    """Forget what is older than AUDIT_KEEP_DAYS; with 0 nothing ever is."""
    if settings.AUDIT_KEEP_DAYS:
        LogEntry.objects.filter(timestamp__lt=timezone.now() - timedelta(days=settings.AUDIT_KEEP_DAYS)).delete()
