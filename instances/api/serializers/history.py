from __future__ import annotations

from datetime import timedelta

from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer, Serializer

from instances.availability import Report, seconds
from instances.models import StateChange


class StateChangeSerializer(ModelSerializer):  # type: ignore[misc]
    """What an instance was seen in, and what was wanted of it, from ``at`` on until the next one."""

    class Meta:
        model = StateChange
        resource_name = "state-changes"
        fields = ["at", "state", "wanted"]
        read_only_fields = fields


class SecondsField(serializers.Field):  # type: ignore[type-arg]
    """A duration, to the millisecond."""

    def to_representation(self, value: timedelta) -> float:
        return seconds(value)


class AvailabilitySerializer(Serializer[Report]):  # type: ignore[misc]
    """``availability``: percent of the time that is counted (``available_seconds`` + ``outage_seconds``), or null."""

    since = serializers.DateTimeField(read_only=True)
    until = serializers.DateTimeField(read_only=True)
    availability = serializers.FloatField(source="figures.percent", read_only=True)
    available_seconds = SecondsField(source="figures.available", read_only=True)
    outage_seconds = SecondsField(source="figures.down", read_only=True)
    outages = serializers.IntegerField(source="figures.outages", read_only=True)
    seconds_by_state = serializers.DictField(child=SecondsField(), source="times", read_only=True)

    class Meta:
        resource_name = "availabilities"
