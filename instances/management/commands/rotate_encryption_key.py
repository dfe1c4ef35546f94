"""``manage.py rotate_encryption_key``: encrypts every stored password with the first of FIELD_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from instances.fields import CannotDecrypt, EncryptedTextField

BATCH = 200


class Command(BaseCommand):
    help = (
        "Encrypt every stored password with the first key of FIELD_ENCRYPTION_KEYS. "
        "Afterwards the other keys can be taken away. May be run again at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        written = 0
        for model in apps.get_models():
            names = [field.name for field in model._meta.get_fields() if isinstance(field, EncryptedTextField)]
            if not names:
                continue
            keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
            for start in range(0, len(keys), BATCH):
                with transaction.atomic():
                    rows = model._default_manager.select_for_update().only("pk", *names)
                    batch = list(rows.filter(pk__in=keys[start : start + BATCH]))
                    try:
                        model._default_manager.bulk_update(batch, names)
                    except CannotDecrypt as error:
                        raise CommandError(str(error)) from error
                    written += len(batch)
        self.stdout.write(f"{written} rows are encrypted with the first key now.")
