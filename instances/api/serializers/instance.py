from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from instances.api.errors import ATTRIBUTES_OF_FIELDS
from instances.api.fields import (
    BlobIdField,
    ChoiceField,
    DomainNameField,
    MethodRelatedField,
    RelatedField,
    registered_domains,
)
from instances.api.serializers.lock import InstanceLockSerializer
from instances.api.serializers.resource import ResourceSerializer
from instances.choices import BackupInterval, Db, Mode
from instances.models import Domain, Instance, Operation, Version

TYPED = (
    "slug",
    "db",
    "mode",
    "event_name",
    "event_description",
    "event_date",
    "event_location",
    "event_organizer",
    "admin_first_name",
    "admin_last_name",
    "admin_username",
    "admin_initial_password",
    "superadmin_password",
)
"""Attributes that are texts, chosen when the instance is made."""
CREDENTIALS = ("admin_initial_password", "superadmin_password")
SERVER_SET = ("url", "state", "created_date")
"""The seed's attributes that only the server sets; its client sends them as null, and later echoes them."""


class InstanceSerializer(ResourceSerializer):
    """An instance as it is, and the values of one to make.

    Null, an empty text or a missing attribute means the default; what only the server sets is ignored.
    Changes go another way: see ``changes.py``.
    """

    cross_field = "slug"
    included_serializers = {
        "osversion": "instances.api.serializers.version.VersionSerializer",
        "osdomain": "instances.api.serializers.domain.DomainSerializer",
        "host": "instances.api.serializers.host.HostSerializer",
        "operation": "instances.api.serializers.operation.OperationSerializer",
    }

    self_link = serializers.HyperlinkedIdentityField(view_name="api:instance-detail")
    parent_domain = DomainNameField(source="domain", required=False)
    db = ChoiceField(choices=Db.choices, required=False)
    mode = ChoiceField(choices=Mode.choices, required=False)
    backup_hours = serializers.ChoiceField(choices=BackupInterval.choices, required=False)
    projector_logo = BlobIdField(required=False)
    url = serializers.SerializerMethodField()
    state = serializers.CharField(read_only=True)
    created_date = serializers.DateTimeField(source="created_at", format="%Y-%m-%d", read_only=True)
    progress = serializers.SerializerMethodField()
    needs_attention = serializers.CharField(source="attention", read_only=True)
    locks = InstanceLockSerializer(many=True, read_only=True)
    osversion = RelatedField(
        resource="osversions",
        source="version",
        queryset=Version.objects.all(),
        required=False,
        error_messages={"null": gettext_lazy("An instance has one version.")},
    )
    osdomain = RelatedField(resource="osdomains", source="domain", read_only=True)
    host = RelatedField(resource="hosts", read_only=True)
    operation = MethodRelatedField(resource="operations", model=Operation, method_name="unfinished_operation")

    class Meta:
        model = Instance
        resource_name = "instances"
        fields = [
            "self_link",
            *TYPED,
            "parent_domain",
            "projector_logo",
            "always_on",
            "idle_minutes",
            "workers",
            "backup_hours",
            *SERVER_SET,
            "desired_state",
            "observed_state",
            "failure",
            "progress",
            "needs_attention",
            "retry_at",
            "locks",
            "state_since",
            "last_used_at",
            "created_at",
            "installed_at",
            "osversion",
            "osdomain",
            "host",
            "operation",
        ]
        read_only_fields = [
            "desired_state",
            "observed_state",
            "failure",
            "retry_at",
            "state_since",
            "last_used_at",
            "created_at",
            "installed_at",
        ]
        # The model's own checks say which attribute is to blame; see validate().
        validators: list[Any] = []

    def get_url(self, instance: Instance) -> str:
        return instance.url

    def get_progress(self, instance: Instance) -> int | None:
        """How far the unfinished operation is, in percent; None without one."""
        operation = self.unfinished_operation(instance)
        return operation.progress if operation else None

    def unfinished_operation(self, instance: Instance) -> Operation | None:
        """The one that ``of_view`` has fetched, or a query."""
        fetched: list[Operation] | None = getattr(instance, "unfinished_operations", None)
        if fetched is None:
            return instance.unfinished_operation
        return fetched[0] if fetched else None

    def to_representation(self, instance: Instance) -> dict[str, Any]:
        found: dict[str, Any] = super().to_representation(instance)
        user = self.context["request"].user
        if not user.has_perm("instances.view_credentials"):
            found |= {name: None for name in CREDENTIALS if name in found}
        return found

    def get_root_meta(self, resource: Any, many: bool) -> dict[str, Any]:
        """What a PATCH could not change, see ``changes.py``."""
        ignored = self.context.get("ignored")
        return {"ignored": ignored} if ignored else {}

    def to_internal_value(self, data: dict[str, Any]) -> Any:
        empty = [
            name for name, value in data.items() if value is None or (isinstance(value, str) and not value.strip())
        ]
        return super().to_internal_value({name: value for name, value in data.items() if name not in empty})

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "domain" not in values:
            values["domain"] = self.default_domain()
        if "version" not in values:
            values["version"] = self.default_version()
        self.check(self.changed(values))
        return values

    def check(self, row: Any) -> None:
        row.fill_in()
        try:
            # The host is chosen when the operation is filed.
            row.full_clean(exclude=["host"])
        except ModelValidationError as error:
            raise serializers.ValidationError(self.by_attribute(error)) from None

    def by_attribute(self, error: ModelValidationError) -> dict[str, list[str]]:
        return {ATTRIBUTES_OF_FIELDS.get(name, name): texts for name, texts in super().by_attribute(error).items()}

    def default_domain(self) -> Domain:
        domain = Domain.objects.filter(default=True).first()
        if domain is None:
            raise serializers.ValidationError(
                {"parent_domain": [_("No domain is the default. %(hint)s") % {"hint": registered_domains()}]},
                code="required",
            )
        return domain

    def default_version(self) -> Version:
        version = Version.objects.filter(default=True).first()
        if version is None:
            raise serializers.ValidationError(
                {"osversion": [_("No version is the default. Choose one, or mark one as the default.")]},
                code="required",
            )
        return version
