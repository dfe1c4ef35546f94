from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances import operations
from instances.api.fields import ChoiceField, InstanceField, RelatedField
from instances.choices import OperationKind, Outcome
from instances.models import Operation, OperationStep, Version
from instances.validators import validate_to_come

ASKED_FOR = {
    OperationKind.START: operations.start,
    OperationKind.STOP: operations.stop,
    OperationKind.UPDATE: operations.update,
    OperationKind.BACKUP: operations.backup,
    OperationKind.REMOVE: operations.remove,
}
"""What can be asked for as an operation; other kinds have addresses of their own, or begin with their resource."""


class StepSerializer(serializers.ModelSerializer[OperationStep]):
    """Part of its operation, no resource of its own."""

    class Meta:
        model = OperationStep
        fields = ["name", "status", "started_at", "seconds", "output"]
        read_only_fields = fields


class AskedSerializer(serializers.Serializer[Operation]):
    """What is asked for with a POST. Which relationships an operation needs depends on its kind."""

    kind = ChoiceField(choices=list(ASKED_FOR))
    not_before = serializers.DateTimeField(required=False, allow_null=True, default=None, validators=[validate_to_come])
    instance = InstanceField()  # type: ignore[assignment]
    osversion = RelatedField(resource="osversions", queryset=Version.objects.all(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["kind"] == OperationKind.UPDATE) is not ("osversion" in attrs):
            needed = _("An update needs it.") if attrs["kind"] == OperationKind.UPDATE else _("Only an update has it.")
            raise serializers.ValidationError({"osversion": needed})
        return attrs


class CancelSerializer(serializers.Serializer[Operation]):
    """What can be changed of an operation: it can be cancelled, and a postponed one can begin now (queued)."""

    status = ChoiceField(choices=[Outcome.CANCELLED.value, Outcome.QUEUED.value])


class OperationSerializer(ModelSerializer):  # type: ignore[misc]
    included_serializers = {
        "instance": "instances.api.serializers.instance.InstanceSerializer",
        "osversion": "instances.api.serializers.version.VersionSerializer",
        "host": "instances.api.serializers.host.HostSerializer",
    }

    self_link = serializers.HyperlinkedIdentityField(view_name="api:operation-detail")
    progress = serializers.IntegerField(read_only=True)
    seconds = serializers.FloatField(read_only=True)
    requested_by = serializers.CharField(source="requested_by.username", default=None, read_only=True)
    steps = StepSerializer(many=True, read_only=True)
    instance = RelatedField(resource="instances", read_only=True)
    osversion = RelatedField(resource="osversions", source="version", read_only=True)
    host = RelatedField(resource="hosts", read_only=True)

    class Meta:
        model = Operation
        resource_name = "operations"
        fields = [
            "self_link",
            "kind",
            "status",
            "progress",
            "error",
            "failed_step",
            "can_cancel",
            "not_before",
            "down_seconds",
            "steps",
            "seconds",
            "created_at",
            "started_at",
            "finished_at",
            "requested_by",
            "requested_via",
            "instance",
            "osversion",
            "host",
        ]
        read_only_fields = fields
