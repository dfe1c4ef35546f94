from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Model
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.reverse import reverse
from rest_framework_json_api.serializers import ModelSerializer

from instances import backups
from instances.api.errors import ATTRIBUTES_OF_FIELDS
from instances.api.fields import DomainNameField, MethodRelatedField, RelatedField, TextField
from instances.models import Backup, Domain, Instance, Operation


class InstanceField(RelatedField):
    """An instance that is not removed, by its id."""

    def to_internal_value(self, data: Any) -> Model:
        if not isinstance(data, dict) or data.get("type") != "instances" or not isinstance(data.get("id"), str):
            raise serializers.ValidationError(
                _('Write it like {"type": "%(type)s", "id": "1"}.') % {"type": self.resource}, code="invalid"
            )
        identity = data["id"]
        found: Model | None = self.get_queryset().filter(pk=identity).first() if identity.isalnum() else None
        if found is None:
            raise serializers.ValidationError(
                _("There is no %(type)s with the id %(id)s.") % {"type": self.resource, "id": identity[:40]},
                code="does_not_exist",
            )
        return found


class BackupSerializer(ModelSerializer):  # type: ignore[misc]
    """A backup. Of the instance it says what it is called, because a removed one is no resource any more."""

    included_serializers = {
        "instance": "instances.api.serializers.instance.InstanceSerializer",
        "osversion": "instances.api.serializers.version.VersionSerializer",
        "host": "instances.api.serializers.host.HostSerializer",
        "operation": "instances.api.serializers.operation.OperationSerializer",
    }

    self_link = serializers.HyperlinkedIdentityField(view_name="api:backup-detail")
    archive = serializers.SerializerMethodField()
    slug = serializers.CharField(source="instance.slug", read_only=True)
    parent_domain = serializers.CharField(source="instance.domain.domain", read_only=True)
    removed_at = serializers.DateTimeField(source="instance.removed_at", read_only=True)
    complete = serializers.BooleanField(source="is_complete", read_only=True)
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)
    instance = InstanceField(resource="instances", queryset=Instance.objects.present())
    osversion = RelatedField(resource="osversions", source="version", read_only=True)
    host = RelatedField(resource="hosts", read_only=True)
    operation = MethodRelatedField(resource="operations", model=Operation, method_name="unfinished_operation")

    class Meta:
        model = Backup
        resource_name = "backups"
        fields = [
            "self_link",
            "archive",
            "slug",
            "parent_domain",
            "removed_at",
            "db",
            "reason",
            "complete",
            "size",
            "sha256",
            "created_at",
            "created_by",
            "completed_at",
            "expires_at",
            "verified_at",
            "problem",
            "instance",
            "osversion",
            "host",
            "operation",
        ]
        read_only_fields = [name for name in fields if name != "instance"]

    def get_archive(self, backup: Backup) -> str:
        return reverse("api:backup-archive", kwargs={"pk": backup.pk}, request=self.context["request"])

    def unfinished_operation(self, backup: Backup) -> Operation | None:
        """The one that makes, verifies or restores it: what ``with_operations`` of the view fetched, or a query."""
        fetched: list[Operation] | None = getattr(backup, "unfinished_operations", None)
        if fetched is None:
            return backup.operations.filter(finished_at=None).first()
        return fetched[0] if fetched else None


class CopySerializer(serializers.Serializer[Instance]):
    """What a new instance is called that is made of another one's data."""

    slug = TextField()
    parent_domain = DomainNameField(required=False)

    def new_instance(self, source: Instance) -> Instance:
        """Not saved. Raises ValidationError."""
        domain: Domain = self.validated_data.get("parent_domain", source.domain)
        found = backups.copy_of(source, self.validated_data["slug"], domain)
        try:
            found.full_clean(exclude=["host"])
        except ModelValidationError as error:
            texts = {ATTRIBUTES_OF_FIELDS.get(name, name): list(said) for name, said in error.message_dict.items()}
            if "__all__" in texts:
                texts["slug"] = [*texts.get("slug", []), *texts.pop("__all__")]
            raise serializers.ValidationError(texts) from None
        return found


class RestoreSerializer(serializers.Serializer[Backup]):
    """How a backup is restored. ``safety``: whether the present data are backed up first."""

    safety = serializers.BooleanField(required=False, default=True)


class BringBackSerializer(serializers.Serializer[Instance]):
    """What a removed instance is brought back with."""

    backup = RelatedField(resource="backups", queryset=Backup.objects.all(), required=False)

    def validate_backup(self, backup: Backup) -> Backup:
        if self.instance is not None and backup.instance_id != self.instance.pk:
            raise serializers.ValidationError(
                _("This is a backup of %(instance)s. Clone it instead.") % {"instance": backup.instance}
            )
        return backup
