"""Uploaded pictures: the logos that projectors show."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import FileResponse, Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget

from instances.admin.base import ModelAdmin, ModelForm
from instances.admin.domains import PRESENT
from instances.models import Blob
from instances.pictures import MAX_PICTURE_BYTES, check_png


class PngField(forms.FileField):
    """Takes a PNG picture, known by its content."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", UnfoldAdminFileFieldWidget(attrs={"accept": "image/png"}))
        super().__init__(**kwargs)

    def to_python(self, data: File[Any] | None) -> File[Any] | None:
        file = super().to_python(data)
        if isinstance(file, UploadedFile):
            check_png(file)
        return file


class BlobForm(ModelForm[Blob]):
    file = PngField(
        label=_("file"), help_text=_("A PNG picture, at most %(size)s MB.") % {"size": MAX_PICTURE_BYTES // 1024**2}
    )


def keep(file: File[Any]) -> Blob:
    """Save an uploaded picture, which was checked."""
    blob = Blob()
    blob.file.save("logo.png", file, save=False)
    blob.save()
    return blob


@admin.register(Blob)
class BlobAdmin(ModelAdmin[Blob]):
    form = BlobForm
    list_display = ("picture", "id", "created_at", "size", "used_by")
    list_display_links = ("picture", "id")
    search_fields = ("^id", "instances__slug")
    list_per_page = 50
    empty_text = _("No logo yet")
    empty_hint = _("A logo is uploaded here, or together with a new instance, whose projector shows it.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Blob]:
        return super().get_queryset(request).annotate(used=Count("instances", filter=PRESENT))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("picture", "id", "created_at", "size", "used_by") if obj is not None else ("file",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A picture is replaced by uploading another."""
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.picture_view)
        return [path("<str:blob_id>/picture/", view, name="instances_blob_picture"), *super().get_urls()]

    def picture_view(self, request: HttpRequest, blob_id: str) -> FileResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        blob = get_object_or_404(Blob, pk=blob_id.replace("\0", ""))
        try:
            file = blob.file.open("rb")
        except OSError:
            raise Http404 from None
        # It was checked to be a PNG; the browser shall not guess anything else.
        return FileResponse(
            file, content_type="image/png", headers={"Cache-Control": "private", "Content-Security-Policy": "sandbox"}
        )

    @admin.display(description=_("picture"))
    def picture(self, blob: Blob) -> SafeString:
        return format_html(
            '<img class="mi-logo" src="{}" alt="{}" loading="lazy">',
            reverse("admin:instances_blob_picture", args=(blob.pk,)),
            _("Logo"),
        )

    @admin.display(description=_("size"))
    def size(self, blob: Blob) -> str:
        try:
            return filesizeformat(blob.file.size)
        except OSError:
            return str(_("The file is missing."))

    @admin.display(description=_("instances"), ordering="used")
    def used_by(self, blob: Any) -> str:
        return str(blob.used)

    def delete_model(self, request: HttpRequest, obj: Blob) -> None:
        _discard(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Blob]) -> None:
        for blob in queryset:
            _discard(blob)


def _discard(blob: Blob) -> None:
    """Delete the row, and its file after the commit."""
    storage, name = blob.file.storage, blob.file.name
    blob.delete()
    if name:
        transaction.on_commit(lambda: storage.delete(name))
