from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances.api.fields import ChoiceField, RelatedField, TextField
from instances.choices import RolloutItemStatus, RolloutStatus
from instances.models import Instance, Rollout, RolloutItem, Version
from instances.rollouts import DEFAULT_FAILURE_PERCENT, DEFAULT_WAVES
from instances.validators import validate_to_come


class ItemSerializer(serializers.ModelSerializer[RolloutItem]):
    """One instance; part of its rollout, no resource of its own."""

    instance = serializers.CharField(source="instance_id")  # type: ignore[assignment]
    name = serializers.CharField(source="instance.__str__")
    operation = serializers.SerializerMethodField()

    class Meta:
        model = RolloutItem
        fields = ["instance", "name", "wave", "status", "operation", "note"]
        read_only_fields = fields

    def get_operation(self, item: RolloutItem) -> str | None:
        return None if item.operation_id is None else str(item.operation_id)


class RolloutSerializer(ModelSerializer):  # type: ignore[misc]
    """As lists show it. Reads the counts of ``rollouts.with_counts``."""

    included_serializers = {"osversion": "instances.api.serializers.version.VersionSerializer"}

    self_link = serializers.HyperlinkedIdentityField(view_name="api:rollout-detail")
    requested_by = serializers.CharField(source="requested_by.username", default=None, read_only=True)
    counts = serializers.SerializerMethodField()
    osversion = RelatedField(resource="osversions", source="version", read_only=True)

    class Meta:
        model = Rollout
        resource_name = "rollouts"
        fields = [
            "self_link",
            "status",
            "reason",
            "waves",
            "failure_percent",
            "wave",
            "counts",
            "not_before",
            "created_at",
            "finished_at",
            "requested_by",
            "requested_via",
            "osversion",
        ]
        read_only_fields = fields

    def get_counts(self, rollout: Rollout) -> dict[str, int]:
        return {name: getattr(rollout, name) for name in (*RolloutItemStatus.values, "left_out")}


class WholeRolloutSerializer(RolloutSerializer):
    """With what came of each instance."""

    items = ItemSerializer(many=True, read_only=True)

    class Meta(RolloutSerializer.Meta):
        fields = [*RolloutSerializer.Meta.fields, "items"]
        read_only_fields = fields


class InstancesField(serializers.Field[list[Instance], Any, Any, Any]):
    """Instances that are not removed, by their ids, in the order in which they are sent; one query."""

    def to_internal_value(self, data: Any) -> list[Instance]:
        if not isinstance(data, list) or not all(map(self.names_an_instance, data)):
            raise serializers.ValidationError(
                _('Write it like [{"type": "%(type)s", "id": "…"}].') % {"type": "instances"}, code="invalid"
            )
        ids = [identifier["id"] for identifier in data]
        # NUL: PostgreSQL refuses to compare with it.
        present = Instance.objects.present().select_related("host", "domain", "version")
        found = present.in_bulk([identity for identity in ids if identity.isalnum()])
        for identity in ids:
            if identity not in found:
                raise serializers.ValidationError(
                    _("There is no %(type)s with the id %(id)s.") % {"type": "instances", "id": identity[:40]},
                    code="does_not_exist",
                )
        return [found[identity] for identity in ids]

    @staticmethod
    def names_an_instance(identifier: Any) -> bool:
        return (
            isinstance(identifier, dict)
            and identifier.get("type") == "instances"
            and isinstance(identifier.get("id"), str)
        )


class BeginSerializer(serializers.Serializer[Rollout]):
    """What is asked for with a POST."""

    waves = TextField(required=False, default=DEFAULT_WAVES, max_length=100)
    failure_percent = serializers.IntegerField(
        required=False, default=DEFAULT_FAILURE_PERCENT, min_value=0, max_value=100
    )
    not_before = serializers.DateTimeField(required=False, allow_null=True, default=None, validators=[validate_to_come])
    osversion = RelatedField(resource="osversions", queryset=Version.objects.all())
    instances = InstancesField()


class ChangeSerializer(serializers.Serializer[Rollout]):
    """What is asked for with a PATCH."""

    status = ChoiceField(
        choices=[(status.value, status.label) for status in (RolloutStatus.RUNNING, RolloutStatus.CANCELLED)]
    )
    retry_failed = serializers.BooleanField(required=False, default=False)
