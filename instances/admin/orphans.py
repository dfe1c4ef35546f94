"""Orphans: what hosts have and no instance owns. To remove one here is to let its host remove it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from instances import orphans
from instances.admin.badges import ago, badge
from instances.admin.base import ModelAdmin
from instances.models import Orphan

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@admin.register(Orphan)
class OrphanAdmin(ModelAdmin[Orphan]):
    list_display = ("name", "kind", "host", "of", "seen", "removal")
    list_display_links = ("name",)
    list_filter = (("kind", ChoicesDropdownFilter), ("host", RelatedDropdownFilter))
    search_fields = ("name", "^instance_id")
    list_select_related = ("host",)
    list_per_page = 50
    sortable_by = ("seen",)
    fields = (
        "name", "kind", "host", "of", "instance_id", "first_seen_at", "lost",
        "removal_asked_at", "removal_asked_by", "problem",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("remove_selected",)
    empty_text = _("Nothing is left over")
    empty_hint = _(
        "What is on a host or among the backups and belongs to no instance is listed here. Nothing is removed "
        "before you say so."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Orphan]:
        return orphans.named(super().get_queryset(request))

    def get_actions(self, request: HttpRequest) -> Any:
        """Django's own would delete rows, which come back with the next look."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    @admin.action(description=_("Remove the selected orphans"), permissions=["delete"])
    def remove_selected(self, request: HttpRequest, queryset: QuerySet[Orphan]) -> HttpResponse | None:
        """Asks first."""
        chosen = list(queryset.select_related("host"))
        if "confirmed" not in request.POST:
            return self._ask(request, chosen, [orphan.pk for orphan in chosen])
        self._remove(request, chosen)
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_delete_permission(request):
            raise PermissionDenied
        known = object_id.isascii() and object_id.isdecimal() and len(object_id) <= 18
        found = self.get_queryset(request).select_related("host").filter(pk=object_id).first() if known else None
        if found is None:
            raise Http404(gettext("It is not there any more."))
        if request.method != "POST":
            return self._ask(request, [found])
        self._remove(request, [found])
        return HttpResponseRedirect(reverse("admin:instances_orphan_changelist"))

    def _ask(self, request: HttpRequest, chosen: Iterable[Orphan], selected: Iterable[int] = ()) -> HttpResponse:
        """The page that says what will be lost. ``selected``: the ids of just these, for the list that it goes to."""
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Remove"),
            "rows": [(orphan, orphans.loss(orphan)) for orphan in chosen],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "selected": selected,
        }
        return TemplateResponse(request, "admin/instances/orphan/remove.html", context)

    def _remove(self, request: HttpRequest, chosen: list[Orphan]) -> None:
        orphans.ask_removal(chosen, cast("User", request.user))
        text = ngettext(
            "The removal of %(count)d orphan is asked for. It is on the list until its host has removed it.",
            "The removal of %(count)d orphans is asked for. They are on the list until their hosts have removed them.",
            len(chosen),
        )
        messages.success(request, text % {"count": len(chosen)})

    @admin.display(description=_("made for"))
    def of(self, orphan: Any) -> str:
        """A removed instance, where its row is still there."""
        return orphan.made_for or "–"

    @admin.display(description=_("what would be lost"))
    def lost(self, orphan: Orphan) -> str:
        return orphans.loss(orphan)

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
