"""Attributes and relationships that are written otherwise in the document than in the row."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework_json_api.relations import ResourceRelatedField, SerializerMethodResourceRelatedField

from instances.models import Blob, Domain, Instance

NAMES_IN_A_MESSAGE = 10


class TextField(serializers.CharField):
    """A text as it was typed. A number is none, and blanks at its ends are part of it."""

    default_error_messages = {"invalid": gettext_lazy("This must be a text, in quotation marks.")}

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ChoiceField(serializers.ChoiceField):
    """Says what can be chosen."""

    default_error_messages = {"invalid_choice": gettext_lazy("Use one of: {choices}.")}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choice_strings_to_values:
            self.fail("invalid_choice", choices=", ".join(str(choice) for choice in self.choices))
        return super().to_internal_value(data)


class DomainNameField(serializers.Field[Domain, Any, str, Any]):
    """A registered domain, written as its name."""

    def to_internal_value(self, data: Any) -> Domain:
        if not isinstance(data, str):
            raise serializers.ValidationError(_("This must be a text, in quotation marks."))
        domain = Domain.objects.filter(domain=data.lower()).first()
        if domain is None:
            raise serializers.ValidationError(
                _("The domain %(name)s is not registered. %(hint)s")
                % {"name": data[:200], "hint": registered_domains()},
                code="unknown_domain",
            )
        return domain

    def to_representation(self, value: Domain) -> str:
        return value.domain


def registered_domains() -> str:
    """What to do when a domain is missing: the names that can be used; one query."""
    names = list(Domain.objects.values_list("domain", flat=True)[: NAMES_IN_A_MESSAGE + 1])
    if not names:
        return _("None is: add it first with POST /api/osdomains.")
    listed = ", ".join(names[:NAMES_IN_A_MESSAGE]) + (", …" if len(names) > NAMES_IN_A_MESSAGE else "")
    return _("Use one of: %(names)s; or add it first with POST /api/osdomains.") % {"names": listed}


class BlobIdField(serializers.Field[Blob, Any, str, Any]):
    """An uploaded picture, written as its id."""

    def to_internal_value(self, data: Any) -> Blob:
        blob = Blob.objects.filter(pk=data).first() if isinstance(data, str) else None
        if blob is None:
            raise serializers.ValidationError(
                _("There is no such picture. Upload it with POST /api/blobs, and put the blobId of the answer here."),
                code="unknown_blob",
            )
        return blob

    def to_representation(self, value: Blob) -> str:
        return value.pk


class InstanceField(serializers.Field[Instance, Any, Any, Any]):
    """An instance that is not removed, by its id."""

    def to_internal_value(self, data: Any) -> Instance:
        if not isinstance(data, dict) or data.get("type") != "instances" or not isinstance(data.get("id"), str):
            raise serializers.ValidationError(
                _('Write it like {"type": "%(type)s", "id": "…"}.') % {"type": "instances"}, code="invalid"
            )
        identity = data["id"]
        # NUL: PostgreSQL refuses to compare with it.
        present = Instance.objects.present().select_related("host", "domain", "version")
        found = present.filter(pk=identity).first() if identity.isalnum() else None
        if found is None:
            raise serializers.ValidationError(
                _("There is no %(type)s with the id %(id)s.") % {"type": "instances", "id": identity[:40]},
                code="does_not_exist",
            )
        return found


class KnownType:
    """Says the type of a relationship. The library finds it out by inflecting names, for every row again."""

    def __init__(self, *, resource: str, **options: Any) -> None:
        self.resource = resource
        super().__init__(**options)

    def get_resource_type_from_included_serializer(self) -> str:
        return self.resource


class MethodRelatedField(KnownType, SerializerMethodResourceRelatedField):  # type: ignore[misc]
    """A relationship to one resource of the type ``resource``, which a method of the serializer finds."""


class RelatedField(KnownType, ResourceRelatedField):  # type: ignore[misc]
    """A relationship to one resource of the type ``resource``, found by its id."""

    def to_internal_value(self, data: Any) -> Model:
        if not isinstance(data, dict) or data.get("type") != self.resource or not isinstance(data.get("id"), str):
            raise serializers.ValidationError(
                _('Write it like {"type": "%(type)s", "id": "1"}.') % {"type": self.resource}, code="invalid"
            )
        identity = data["id"]
        # No longer than the column: SQLite cannot even compare with a longer number.
        known = identity.isascii() and identity.isdecimal() and len(identity) <= 18
        found: Model | None = self.get_queryset().filter(pk=int(identity)).first() if known else None
        if found is None:
            raise serializers.ValidationError(
                _("There is no %(type)s with the id %(id)s.") % {"type": self.resource, "id": identity[:40]},
                code="does_not_exist",
            )
        return found
