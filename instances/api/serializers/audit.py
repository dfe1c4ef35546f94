from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances import audit

ACTIONS = {
    LogEntry.Action.CREATE: "create",
    LogEntry.Action.UPDATE: "update",
    LogEntry.Action.DELETE: "delete",
    LogEntry.Action.ACCESS: "access",
}
RESOURCES = {
    "instance": "instances",
    "version": "osversions",
    "domain": "osdomains",
    "host": "hosts",
    "operation": "operations",
    "rollout": "rollouts",
    "backup": "backups",
    "orphan": "orphans",
    "actionlock": "locks",
    "user": "users",
    "group": "groups",
    "apitoken": "api-tokens",
}
"""What is written down, by the name of its model. Users, groups and API tokens have no address in the API."""


class AuditSerializer(ModelSerializer):  # type: ignore[misc]
    """Who did what. What it was done to may be gone, so that is named and no relationship."""

    self_link = serializers.HyperlinkedIdentityField(view_name="api:audit-detail")
    time = serializers.DateTimeField(source="timestamp", read_only=True)
    action = serializers.SerializerMethodField()
    note = serializers.SerializerMethodField()
    resource_type = serializers.SerializerMethodField()
    resource_id = serializers.CharField(source="object_pk", read_only=True)
    resource_name = serializers.CharField(source="object_repr", read_only=True)
    instance_id = serializers.SerializerMethodField()
    changes = serializers.SerializerMethodField()
    via = serializers.SerializerMethodField()
    who = serializers.SerializerMethodField()
    token = serializers.SerializerMethodField()
    remote_address = serializers.IPAddressField(source="remote_addr", read_only=True)

    class Meta:
        model = LogEntry
        resource_name = "audit-entries"
        fields = [
            "self_link",
            "time",
            "action",
            "note",
            "resource_type",
            "resource_id",
            "resource_name",
            "instance_id",
            "changes",
            "via",
            "who",
            "token",
            "remote_address",
        ]
        read_only_fields = fields

    def get_action(self, entry: LogEntry) -> str:
        return ACTIONS[entry.action]

    def get_note(self, entry: LogEntry) -> str | None:
        """What was done where no row was changed, like "downloaded"."""
        return (entry.additional_data or {}).get("action")

    def get_resource_type(self, entry: LogEntry) -> str:
        name: str = entry.content_type.model
        return RESOURCES.get(name, name)

    def get_instance_id(self, entry: LogEntry) -> str | None:
        """The instance that it belongs to."""
        if entry.content_type.model == "instance":
            return str(entry.object_pk)
        return (entry.additional_data or {}).get("instance")

    def get_changes(self, entry: LogEntry) -> dict[str, Any]:
        return {name: {"before": before, "after": after} for name, (before, after) in audit.changes(entry).items()}

    def get_via(self, entry: LogEntry) -> str | None:
        found = audit.via(entry)
        return found.value if found is not None else None

    def get_who(self, entry: LogEntry) -> str | None:
        return audit.who(entry) or None

    def get_token(self, entry: LogEntry) -> str | None:
        """The name of the API token that it was done with."""
        return audit.token(entry) or None
