"""Lists whose badges bring themselves up to date: one small request for all rows that are shown."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse

from instances.admin.badges import Badge
from instances.admin.base import ModelAdmin

MOST_ROWS = 200
"""Of more rows than a list shows nobody needs the badges."""
LONGEST_ID = 32


class LiveBadges(ModelAdmin[Any]):
    """For a ModelAdmin whose list shows a badge that was made with ``live_id``."""

    list_before_template = "admin/instances/parts/live_badges.html"

    def badge_of(self, row: Any) -> Badge:
        raise NotImplementedError

    def badge_rows(self, ids: list[Any]) -> QuerySet[Any]:
        """The rows with all that :meth:`badge_of` reads, in one query."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.badges_view)
        return [path("badges/", view, name=self._url_name("badges")), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        url = reverse(f"admin:{self._url_name('badges')}")
        return super().changelist_view(request, {"badges_url": url, **(extra_context or {})})

    def badges_view(self, request: HttpRequest) -> JsonResponse:
        """The badges of the rows in ``?ids=a,b,c``, by id; one query."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.badge_rows(self._ids(request.GET.get("ids", "")))
        return JsonResponse({"rows": {str(row.pk): self.badge_of(row) for row in rows}}, headers=NO_STORE)

    def _ids(self, text: str) -> list[Any]:
        ids = []
        for word in text.split(",")[:MOST_ROWS]:
            if not word.isalnum() or len(word) > LONGEST_ID:
                continue
            try:
                ids.append(_key(self.model, word))
            except ValidationError:
                continue
        return ids

    def _url_name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"


NO_STORE = {"Cache-Control": "no-store"}


def _key(model: type[Model], word: str) -> Any:
    """Raises ValidationError when it cannot be a primary key of the model."""
    key = model._meta.pk.to_python(word)
    if isinstance(key, int) and key >= 2**63:
        raise ValidationError("too large")
    return key
