from __future__ import annotations

import secrets
import string

from django.db import models
from django.utils.translation import gettext_lazy as _


def new_blob_id() -> str:
    """20 letters and digits, as the seed's client knows them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))


def blob_path(blob: Blob, filename: str) -> str:
    """Below MEDIA_ROOT; the name that the browser sent is not used."""
    return f"blobs/{blob.pk}.png"


class Blob(models.Model):
    """An uploaded PNG: the logo that an instance's projector shows."""

    id = models.CharField(primary_key=True, max_length=20, default=new_blob_id, editable=False)
    file = models.ImageField(_("file"), upload_to=blob_path)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("logo")
        verbose_name_plural = _("logos")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.id
