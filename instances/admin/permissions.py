"""Who sees what in the sidebar; named by their dotted paths in the settings."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    app, model = permission.split(".")

    def may(request: HttpRequest) -> bool:
        return request.user.has_perm(f"{app}.view_{model}") or request.user.has_perm(f"{app}.change_{model}")

    return may


instances = _may_view("instances.instance")
operations = _may_view("instances.operation")
backups = _may_view("instances.backup")
rollouts = _may_view("instances.rollout")
versions = _may_view("instances.version")
domains = _may_view("instances.domain")
logos = _may_view("instances.blob")
hosts = _may_view("instances.host")
locks = _may_view("instances.actionlock")
log = _may_view("auditlog.logentry")
orphans = _may_view("instances.orphan")
users = _may_view("auth.user")
groups = _may_view("auth.group")
tokens = _may_view("instances.apitoken")
