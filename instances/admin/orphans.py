"""Orphans: what hosts have and no instance owns. To delete one here is to let its host remove it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import orphans
from instances.admin.badges import ago, badge
from instances.admin.base import ModelAdmin
from instances.models import Instance, Orphan


@admin.register(Orphan)
class OrphanAdmin(ModelAdmin[Orphan]):
    list_display = ("name", "kind", "host", "made_for", "seen", "removal")
    list_display_links = ("name",)
    list_filter = (("kind", ChoicesDropdownFilter), ("host", RelatedDropdownFilter))
    search_fields = ("name", "^instance_id")
    list_select_related = ("host",)
    list_per_page = 50
    sortable_by = ("seen",)
    fields = ("name", "kind", "host", "made_for", "first_seen_at", "removal_asked_at", "removal_asked_by", "problem")
    readonly_fields = fields
    empty_text = _("Nothing is left over")
    empty_hint = _(
        "What is on a host or among the backups and belongs to no instance is listed here. Nothing is removed "
        "before you say so."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Orphan) -> None:
        orphans.ask_removal(obj, request.user)  # type: ignore[arg-type]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Orphan]) -> None:
        for orphan in queryset.select_related("host"):
            self.delete_model(request, orphan)

    @admin.display(description=_("made for"))
    def made_for(self, orphan: Orphan) -> str:
        """A removed instance, where its row is still there."""
        instance = Instance.objects.filter(pk=orphan.instance_id).select_related("domain").first()
        return str(instance) if instance is not None else "–"

    @admin.display(description=_("first seen"), ordering="first_seen_at")
    def seen(self, orphan: Orphan) -> str:
        return ago(orphan.first_seen_at)

    @admin.display(description=_("removal"))
    def removal(self, orphan: Orphan) -> SafeString | str:
        if orphan.problem:
            return badge(gettext("failed"), "danger")
        if orphan.removal_asked_at is not None:
            return badge(gettext("asked for"), "info")
        return "–"
