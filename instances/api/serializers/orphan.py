from __future__ import annotations

from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances.api.fields import RelatedField
from instances.models import Orphan


class OrphanSerializer(ModelSerializer):  # type: ignore[misc]
    """What belongs to no instance. Of a removed instance it says the name: it is no resource any more."""

    included_serializers = {"host": "instances.api.serializers.host.HostSerializer"}

    self_link = serializers.HyperlinkedIdentityField(view_name="api:orphan-detail")
    made_for = serializers.CharField(read_only=True)
    removal_asked_by = serializers.CharField(source="removal_asked_by.username", default=None, read_only=True)
    host = RelatedField(resource="hosts", read_only=True)

    class Meta:
        model = Orphan
        resource_name = "orphans"
        fields = [
            "self_link",
            "kind",
            "name",
            "instance_id",
            "made_for",
            "first_seen_at",
            "removal_asked_at",
            "removal_asked_by",
            "problem",
            "host",
        ]
        read_only_fields = fields
