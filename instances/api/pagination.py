"""Lists in pages, cut out in the database."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework_json_api.pagination import JsonApiPageNumberPagination

from instances.api.errors import BadParameter
from instances.api.renderers import asks_as_legacy


class Pages(JsonApiPageNumberPagination):  # type: ignore[misc]
    """100 resources on a page unless ``page[size]`` asks for another number, at most 1,000.

    The seed's client knows no pages and shows what one answer holds: it gets all, unless it asks for a page.
    """

    page_size = 100
    max_page_size = 1000

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any] | None:
        asked = {self.page_query_param, self.page_size_query_param} & set(request.query_params)
        if asks_as_legacy(request) and not asked:
            return None
        for parameter in asked:
            _check_number(parameter, request.query_params[parameter])
        page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        return page


def _check_number(parameter: str, value: str) -> None:
    """Raises BadParameter."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 9 and int(value) > 0):
        raise BadParameter(_("Write a whole number from 1 on."), parameter=parameter)
