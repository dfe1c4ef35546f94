from __future__ import annotations

from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances.api.fields import RelatedField
from instances.models import Operation, OperationStep


class StepSerializer(serializers.ModelSerializer[OperationStep]):
    """Part of its operation, no resource of its own."""

    class Meta:
        model = OperationStep
        fields = ["name", "status", "started_at", "seconds", "output"]
        read_only_fields = fields


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
