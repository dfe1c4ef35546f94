"""Who did what. Nobody writes it here, and only superusers may delete from it."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import audit
from instances.admin.base import DropdownFilter, ModelAdmin
from instances.models import Instance

if admin.site.is_registered(LogEntry):
    admin.site.unregister(LogEntry)

LONGEST = 80
MOST_LINES = 4
"""So many changes of an entry are shown in the list, the others when somebody unfolds them."""
NOTES = (
    gettext_noop("begun before its time"),
    gettext_noop("cancellation asked for"),
    gettext_noop("cancelled"),
    gettext_noop("downloaded"),
    gettext_noop("removal asked for"),
    gettext_noop("removed"),
)
"""What ``audit.note`` is called with: it is translated where it is shown."""

Line = tuple[str, str, str]


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
    list_display = ("time", "who_and_how", "what_and_subject", "changed")
    list_display_links = ("time",)
    list_filter = (
        OfInstance,
        ("action", ChoicesDropdownFilter),
        ("content_type", RelatedDropdownFilter),
        ("actor", RelatedDropdownFilter),
    )
    search_fields = ("object_repr", "actor__username", "additional_data__token", "remote_addr")
    search_help_text = _("Subject, user, API token or address")
    list_select_related = ("actor", "content_type")
    list_per_page = 50
    date_hierarchy = "timestamp"
    fields = ("time", "who", "what", "subject", "all_changes", "via", "token", "address")
    readonly_fields = fields
    empty_text = _("Nothing was done yet")
    empty_hint = _("Whoever adds, changes, starts, stops, downloads or removes something is written down here.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    @admin.display(description=_("time"), ordering="timestamp")
    def time(self, entry: LogEntry) -> SafeString:
        when = localtime(entry.timestamp)
        shown = date_format(when, "SHORT_DATE_FORMAT"), f"{when:%H:%M:%S}"
        return format_html('<span class="mi-nowrap">{}</span> <span class="mi-nowrap">{}</span>', *shown)

    @admin.display(description=_("who"))
    def who(self, entry: LogEntry) -> str:
        return audit.who(entry) or str(_("the system itself"))

    @admin.display(description=_("what"))
    def what(self, entry: LogEntry) -> str:
        noted = (entry.additional_data or {}).get("action")
        return gettext(noted) if noted else str(entry.get_action_display())

    @admin.display(description=_("subject"))
    def subject(self, entry: LogEntry) -> str:
        return f"{entry.content_type.name} {entry.object_repr}"

    @admin.display(description=_("via"))
    def via(self, entry: LogEntry) -> str:
        found = audit.via(entry)
        return str(found.label) if found is not None else "–"

    @admin.display(description=_("API token"))
    def token(self, entry: LogEntry) -> str:
        return audit.token(entry) or "–"

    @admin.display(description=_("address"))
    def address(self, entry: LogEntry) -> str:
        return entry.remote_addr or "–"

    @admin.display(description=_("who"), ordering="actor__username")
    def who_and_how(self, entry: LogEntry) -> SafeString:
        notes = [self.via(entry), entry.remote_addr] if audit.who(entry) else [entry.remote_addr]
        note = " · ".join(note for note in notes if note and note != "–")
        token = audit.token(entry)
        return format_html(
            '<span class="mi-name"><span class="mi-nowrap">{}</span><span class="mi-note mi-nowrap">{}</span>'
            '<span class="mi-note mi-subject">{}</span></span>',
            self.who(entry),
            note,
            gettext("with the token %(name)s") % {"name": token} if token else "",
        )

    @admin.display(description=_("what"))
    def what_and_subject(self, entry: LogEntry) -> SafeString:
        return format_html(
            '<span class="mi-name">{}<span class="mi-note mi-subject">{}</span></span>',
            capfirst(self.what(entry)),
            self.subject(entry),
        )

    @admin.display(description=_("before → after"))
    def all_changes(self, entry: LogEntry) -> SafeString | str:
        return _block(_lines(_changes(entry, whole=True)))

    @admin.display(description=_("before → after"))
    def changed(self, entry: LogEntry) -> SafeString | str:
        lines = _changes(entry)
        if len(lines) <= MOST_LINES + 1:
            return _block(_lines(lines))
        more = len(lines) - MOST_LINES
        folded = format_html(
            '{}<details class="mi-more"><summary>{}</summary>{}</details>',
            _lines(lines[:MOST_LINES]),
            ngettext("and %(n)s more", "and %(n)s more", more) % {"n": more},
            _lines(lines[MOST_LINES:]),
        )
        return _block(folded)


def _changes(entry: LogEntry, *, whole: bool = False) -> list[Line]:
    """``whole``: with all of a long text."""
    model = entry.content_type.model_class()
    found = []
    for name, (before, after) in audit.changes(entry).items():
        try:
            label = str(getattr(model._meta.get_field(name), "verbose_name", name)) if model else name
        except FieldDoesNotExist:
            # Of an older release.
            label = name
        found.append((label, before or "–", after or "–") if whole else (label, _short(before), _short(after)))
    return found


def _block(lines: SafeString) -> SafeString | str:
    return format_html('<div class="mi-changes">{}</div>', lines) if lines else "–"


def _lines(lines: list[Line]) -> SafeString:
    return format_html_join("", "<div><span>{}</span> {} → {}</div>", lines)


def _short(value: str | None) -> str:
    text = value or "–"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
