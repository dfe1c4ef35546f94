from __future__ import annotations

from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances.models import Host


class HostSerializer(ModelSerializer):  # type: ignore[misc]
    self_link = serializers.HyperlinkedIdentityField(view_name="api:host-detail")
    heard = serializers.BooleanField(source="is_heard", read_only=True)

    class Meta:
        model = Host
        resource_name = "hosts"
        fields = ["self_link", "name", "kind", "capacity", "last_seen", "heard"]
        read_only_fields = fields
