from __future__ import annotations

from copy import copy
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from instances import operations
from instances.api.serializers.resource import ResourceSerializer
from instances.choices import Preparation
from instances.errors import OperationRunning
from instances.models import Instance, Operation, Version


class VersionSerializer(ResourceSerializer):
    cross_field = "default"

    self_link = serializers.HyperlinkedIdentityField(view_name="api:version-detail")

    class Meta:
        model = Version
        resource_name = "osversions"
        fields = ["self_link", "name", "image", "engine", "default", "enabled", "preparation", "prepared_at"]
        read_only_fields = ["preparation", "prepared_at"]

    def update(self, version: Version, values: dict[str, Any]) -> Version:
        """Raises ValidationError, OperationRunning."""
        changed = [
            name for name in ("image", "engine") if values.get(name, getattr(version, name)) != getattr(version, name)
        ]
        if changed:
            self.refuse_in_use(version, changed[0])
            values |= {"preparation": Preparation.NONE, "prepared_at": None}
        before = copy(version)
        saved: Version = super().update(version, values)
        if changed and before.preparation != Preparation.NONE:
            operations.discard(before)
        return saved

    def refuse_in_use(self, version: Version, attribute: str) -> None:
        """Another image is another OpenSlides: nobody may rely on this one."""
        if Instance.objects.present().filter(version=version).exists():
            raise serializers.ValidationError(
                {attribute: [_("Instances run this version. Add another version, and update them to it.")]},
                code="in_use",
            )
        running = Operation.objects.filter(version=version, finished_at=None).first()
        if running is not None:
            raise OperationRunning(running)
