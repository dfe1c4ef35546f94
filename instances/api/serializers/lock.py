from __future__ import annotations

from typing import Any

from rest_framework import serializers

from instances.api.fields import ChoiceField
from instances.api.serializers.backup import InstanceField
from instances.api.serializers.resource import ResourceSerializer
from instances.choices import LOCKABLE
from instances.errors import AlreadyLocked
from instances.models import ActionLock, Instance


class InstanceLockSerializer(serializers.ModelSerializer[ActionLock]):
    """A lock as its instance shows it: whoever asks for the action gets to know the reason."""

    locked_by = serializers.CharField(source="locked_by.username", default=None, read_only=True)

    class Meta:
        model = ActionLock
        fields = ["action", "reason", "locked_by", "locked_at"]
        read_only_fields = fields


class LockSerializer(ResourceSerializer):
    """An action that nobody may ask for on an instance."""

    cross_field = "action"
    included_serializers = {"instance": "instances.api.serializers.instance.InstanceSerializer"}

    self_link = serializers.HyperlinkedIdentityField(view_name="api:lock-detail")
    action = ChoiceField(choices=[(kind.value, kind.label) for kind in LOCKABLE])
    locked_by = serializers.CharField(source="locked_by.username", default=None, read_only=True)
    instance = InstanceField(resource="instances", queryset=Instance.objects.present().select_related("domain"))

    class Meta:
        model = ActionLock
        resource_name = "locks"
        fields = ["self_link", "action", "reason", "locked_by", "locked_at", "instance"]
        read_only_fields = ["locked_at"]
        # The model's own checks say which attribute is to blame; see check().
        validators: list[Any] = []

    def check(self, row: Any) -> None:
        """Raises AlreadyLocked, ValidationError."""
        there = ActionLock.objects.select_related("instance__domain").filter(instance=row.instance, action=row.action)
        if (lock := there.first()) is not None:
            raise AlreadyLocked(lock)
        super().check(row)
