"""What a PATCH of an instance asks for.

The seed's client sends every attribute each time, as it has read them. So what counts is what differs from the
row: the state and the version are operations, logo and organizer are just stored. All else can only be changed
inside OpenSlides once the instance was made; it is not an error to send it, and the answer names what was ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from instances import operations
from instances.api.documents import ResourceObject
from instances.api.errors import Invalid
from instances.api.fields import BlobIdField, RelatedField, TextField
from instances.api.serializers.instance import SERVER_SET, TYPED
from instances.choices import BackupInterval, Desired, State
from instances.models import Instance, Version

RUNNING = ("always_on", "idle_minutes", "workers")
STORED = ("projector_logo", "event_organizer", "backup_hours", *RUNNING)
ECHOED = (*(name for name in TYPED if name not in STORED), "parent_domain", *(n for n in SERVER_SET if n != "state"))
HALTED = (State.STOPPED, State.ERROR, State.UPDATE_FAILED)
"""An instance in such a state can be started although it is wanted active already."""


class OneAtATime(Invalid):
    """State and version were changed in the same request."""

    code = "one_operation_at_a_time"


@dataclass(slots=True)
class Changes:
    """``state``: what it shall become; ``version``: what to update to; ``values``: what is just stored."""

    state: Desired | None = None
    version: Version | None = None
    values: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


class EchoField(serializers.Field[Any, Any, Any, Any]):
    """A text that the client has read, and sends back."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            raise serializers.ValidationError(_("This must be a text, in quotation marks."), code="invalid")
        return data


class ChangeSerializer(serializers.Serializer[Instance]):
    """The form of the values; what they mean is decided by ``read_changes``."""

    state = TextField(required=False, allow_null=True)
    event_organizer = TextField(required=False, allow_null=True, allow_blank=True)
    projector_logo = BlobIdField(required=False, allow_null=True)
    always_on = serializers.BooleanField(required=False, allow_null=True)
    idle_minutes = serializers.IntegerField(required=False, allow_null=True)
    workers = serializers.IntegerField(required=False, allow_null=True)
    backup_hours = serializers.ChoiceField(choices=BackupInterval.choices, required=False, allow_null=True)
    osversion = RelatedField(resource="osversions", queryset=Version.objects.all(), required=False)

    def get_fields(self) -> dict[str, Any]:
        echoed = {name: EchoField(required=False, allow_null=True) for name in ECHOED}
        fields = super().get_fields()
        for name in ("event_organizer", "idle_minutes", "workers"):
            fields[name].validators.extend(Instance._meta.get_field(name).validators)  # type: ignore[union-attr]
        return {**fields, **echoed}


def read_changes(instance: Instance, document: ResourceObject, shown: dict[str, Any]) -> Changes:
    """``shown``: the instance's attributes as this client reads them. Raises ValidationError, Invalid, OneAtATime."""
    form = ChangeSerializer(data=document.fields)
    form.is_valid(raise_exception=True)
    sent = form.validated_data
    changes = Changes(state=_state(instance, sent.get("state")))
    version = sent.get("osversion", instance.version)
    if version != instance.version:
        changes.version = version
    if changes.state is not None and changes.version is not None:
        raise OneAtATime(
            _("Change either the state or the version: one operation at a time. Nothing was changed."),
            pointer="/data/relationships/osversion",
        )
    if "projector_logo" in sent and sent["projector_logo"] != instance.projector_logo:
        changes.values["projector_logo"] = sent["projector_logo"]
    organizer = sent.get("event_organizer")
    if organizer is not None and organizer != instance.event_organizer:
        changes.values["event_organizer"] = organizer
    for name in ("backup_hours", *RUNNING):
        if sent.get(name) is not None and sent[name] != getattr(instance, name):
            changes.values[name] = sent[name]
    changes.ignored = sorted(name for name in ECHOED if sent.get(name) is not None and sent[name] != shown[name])
    return changes


def apply(instance: Instance, changes: Changes, request: operations.Request) -> None:
    """Raises OperationRefused; then the caller's transaction takes back what was stored."""
    if changes.values:
        for name, value in changes.values.items():
            setattr(instance, name, value)
        instance.save(update_fields=list(changes.values))
    if changes.version is not None:
        operations.update(instance, changes.version, request)
    elif changes.state == Desired.STOPPED:
        operations.stop(instance, request)
    elif changes.state == Desired.ACTIVE and instance.is_installed:
        operations.start(instance, request)
    elif changes.state == Desired.ACTIVE:
        operations.create(instance, request)
    elif changes.values.keys() & set(RUNNING):
        operations.run_as_set(instance, request)


def _state(instance: Instance, sent: str | None) -> Desired | None:
    """What to do so that the instance is as the client wants it; None when nothing is to be done. Raises Invalid.

    A client that sends a state that it has read wants no change: the state of now, or one of a moment ago that
    nobody can ask for (sleeping, starting). Neither does one that sends what is wanted already, unless that has
    failed: then it is tried again.
    """
    if sent is None or sent == instance.state:
        return None
    if sent not in (Desired.ACTIVE, Desired.STOPPED):
        if sent in State.values:
            return None
        raise Invalid(
            _("The state is %(state)s. Only active and stopped can be asked for.") % {"state": instance.state},
            pointer="/data/attributes/state",
        )
    wanted = Desired(sent)
    if instance.desired_state != wanted:
        return wanted
    if wanted == Desired.STOPPED or instance.unfinished_operation is not None:
        return None
    return wanted if not instance.is_installed or instance.state in HALTED else None
