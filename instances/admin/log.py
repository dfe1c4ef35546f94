"""Who did what. Nobody writes it here, and only superusers may delete from it."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import audit
from instances.admin.base import DropdownFilter, ModelAdmin
from instances.models import Instance

if admin.site.is_registered(LogEntry):
    admin.site.unregister(LogEntry)

LONGEST = 80


class OfInstance(DropdownFilter):
    """Reached by the link on an instance's page; there are too many to choose from."""

    title = _("instance")
    parameter_name = "instance"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        instance = Instance.objects.select_related("domain").filter(pk=request.GET.get("instance", "")).first()
        return [(instance.pk, str(instance))] if instance is not None else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        instance = Instance.objects.filter(pk=self.value() or "").first()
        return queryset if instance is None else queryset.filter(pk__in=audit.entries_of(instance).values("pk"))


@admin.register(LogEntry)
class LogAdmin(ModelAdmin[LogEntry]):
    list_display = ("timestamp", "who", "what", "subject", "changed", "via", "remote_addr")
    list_display_links = ("timestamp",)
    list_filter = (
        OfInstance,
        ("action", ChoicesDropdownFilter),
        ("content_type", RelatedDropdownFilter),
        ("actor", RelatedDropdownFilter),
    )
    search_fields = ("object_repr", "actor__username", "remote_addr")
    search_help_text = _("Name of what was changed, user name or address")
    list_select_related = ("actor", "content_type")
    list_per_page = 50
    date_hierarchy = "timestamp"
    fields = ("timestamp", "who", "what", "subject", "changed", "via", "remote_addr")
    readonly_fields = fields
    empty_text = _("Nothing was done yet")
    empty_hint = _("Whoever adds, changes, starts, stops, downloads or removes something is written down here.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    @admin.display(description=_("who"))
    def who(self, entry: LogEntry) -> str:
        return audit.who(entry) or str(_("the system itself"))

    @admin.display(description=_("what"))
    def what(self, entry: LogEntry) -> str:
        return str((entry.additional_data or {}).get("action") or entry.get_action_display())

    @admin.display(description=_("subject"))
    def subject(self, entry: LogEntry) -> str:
        return f"{entry.content_type.name} {entry.object_repr}"

    @admin.display(description=_("before → after"))
    def changed(self, entry: LogEntry) -> SafeString | str:
        rows = ((name, _short(before), _short(after)) for name, (before, after) in audit.changes(entry).items())
        return format_html_join(SafeString("<br>"), "{}: {} → {}", rows) or "–"

    @admin.display(description=_("via"))
    def via(self, entry: LogEntry) -> str:
        found = audit.via(entry)
        return str(found.label) if found is not None else "–"


def _short(value: str | None) -> str:
    text = value or "–"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
