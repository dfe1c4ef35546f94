"""What all resources that can be written have in common."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import IntegrityError, models, transaction
from rest_framework import serializers
from rest_framework_json_api.serializers import ModelSerializer

from instances.api.fields import ChoiceField, TextField


class ResourceSerializer(ModelSerializer):  # type: ignore[misc]
    """Checks what the model checks, also between fields; an error stands at the attribute to change.

    ``cross_field``: the attribute to blame where the model blames none.
    """

    cross_field = ""
    serializer_field_mapping = {
        **ModelSerializer.serializer_field_mapping,
        models.CharField: TextField,
        models.TextField: TextField,
    }
    serializer_choice_field = ChoiceField

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        self.check(self.changed(values))
        return values

    def changed(self, values: dict[str, Any]) -> models.Model:
        """The row as it would become; the one that is there stays as it is."""
        row: models.Model = copy(self.instance) if self.instance is not None else self.Meta.model()
        for name, value in values.items():
            setattr(row, name, value)
        return row

    def check(self, row: models.Model) -> None:
        """Raises ValidationError."""
        try:
            row.full_clean()
        except ModelValidationError as error:
            raise serializers.ValidationError(self.by_attribute(error)) from None

    def by_attribute(self, error: ModelValidationError) -> dict[str, list[str]]:
        return {
            self.cross_field if name == NON_FIELD_ERRORS else name: list(texts)
            for name, texts in error.message_dict.items()
        }

    def save(self, **values: Any) -> Any:
        try:
            with transaction.atomic():
                return super().save(**values)
        except IntegrityError:
            # Checked before, so only a race ends here; the validation finds the words for it.
            self.check(self.changed(self.validated_data))
            raise
