"""Versions of OpenSlides that instances may run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from instances import operations
from instances.admin.badges import Badge, badge, preparation_badge
from instances.admin.defaults import DefaultForm, OneDefault
from instances.admin.deleting import DeletesHistory
from instances.admin.domains import PRESENT, number_with_link
from instances.admin.live import NO_STORE, LiveBadges
from instances.admin.progress import card_of, with_steps
from instances.choices import OperationKind, Origin, Preparation
from instances.errors import OperationRefused
from instances.models import Operation, Rollout, Version
from instances.models.operation import OperationQuerySet
from instances.models.rollout import UNENDED


class VersionForm(DefaultForm):
    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("default") and not self.cleaned_data.get("enabled"):
            self.add_error(
                "enabled", gettext("The default version has to be enabled. Make another one the default first.")
            )
        return cleaned


@admin.register(Version)
class VersionAdmin(LiveBadges, OneDefault, DeletesHistory):
    form = VersionForm
    list_display = ("name", "preparation_state", "default_mark", "enabled", "engine", "image", "used_by", "prepared_at")
    list_filter = (("preparation", ChoicesDropdownFilter), ("engine", ChoicesDropdownFilter))
    search_fields = ("name", "image")
    list_per_page = 50
    change_form_outer_before_template = "admin/instances/version/head.html"
    empty_text = _("No version yet")
    empty_hint = _(
        "An instance runs a version of OpenSlides. Add one, for example 3.3 with the image pypi:openslides==3.3."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Version]:
        queryset: QuerySet[Version] = super().get_queryset(request)
        return queryset.annotate(used=Count("instances", filter=PRESENT))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        hint = ""
        if obj is not None and self._is_fixed(obj):
            hint = gettext(
                "Name, image and engine stay, because the version was prepared or is used. Add another instead."
            )
        return (
            (None, {"fields": ("name", "image", "engine"), "description": hint}),
            (_("Use"), {"fields": ("enabled", "default")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name", "image", "engine") if obj is not None and self._is_fixed(obj) else ()

    @staticmethod
    def _is_fixed(version: Any) -> bool:
        return version.preparation in (Preparation.PREPARED, Preparation.PREPARING) or bool(getattr(version, "used", 0))

    @admin.display(description=_("preparation"), ordering="preparation")
    def preparation_state(self, version: Version) -> SafeString:
        shown = preparation_badge(version)
        return badge(shown["label"], shown["colour"], live_id=version.pk)

    @admin.display(description=_("instances"), ordering="used")
    def used_by(self, version: Any) -> SafeString:
        return number_with_link(version.used, version__id__exact=version.pk)

    def badge_of(self, row: Version) -> Badge:
        return preparation_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Version]:
        return Version.objects.filter(pk__in=ids)

    def operations_of(self, rows: Any) -> OperationQuerySet:
        return Operation.objects.filter(version__in=rows)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Updates of many that have ended go along as history."""
        rows = list(objs)
        deleted, counts, lacking, protected = super().get_deleted_objects(rows, request)
        unended = Rollout.objects.filter(version__in=rows, status__in=UNENDED).select_related("version")
        protected += [gettext("update of many to %(rollout)s (not ended)") % {"rollout": one} for one in unended]
        return deleted, counts, lacking - {Rollout._meta.verbose_name}, protected

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:version_id>/live/", wrap(self.live_view), name="instances_version_live"),
            path("<int:version_id>/prepare/", wrap(self.prepare_view), name="instances_version_prepare"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        found = self.get_object(request, object_id)
        if found is not None and self.has_view_permission(request, found):
            context |= self._live_context(request, found)
            context["live_url"] = reverse("admin:instances_version_live", args=(found.pk,))
        return super().change_view(request, object_id, form_url, context)

    def response_add(self, request: HttpRequest, obj: Version, post_url_continue: str | None = None) -> HttpResponse:
        """To the version's page, where it can be prepared."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        messages.success(
            request,
            gettext("%(version)s was added. Prepare it now, or the first instance will do it.") % {"version": obj},
        )
        return HttpResponseRedirect(reverse("admin:instances_version_change", args=(obj.pk,)))

    def live_view(self, request: HttpRequest, version_id: int) -> TemplateResponse:
        """The head of the version's page; five queries."""
        found = self.get_object(request, str(version_id))
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if found is None:
            raise Http404
        context = self._live_context(request, found)
        return TemplateResponse(request, "admin/instances/version/live.html", context, headers=NO_STORE)

    def _live_context(self, request: HttpRequest, version: Version) -> dict[str, Any]:
        last = with_steps(Operation.objects.filter(version=version, kind=OperationKind.PREPARE)).order_by("-id").first()
        card = card_of(last, request)
        busy = card is not None and card.busy
        return {
            "version": version,
            "badge": preparation_badge(version),
            "card": card,
            "busy": busy,
            "may_prepare": not busy and self.has_change_permission(request, version),
            "page_key": "fixed" if self._is_fixed(version) else "open",
        }

    @method_decorator(require_POST)
    def prepare_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """File the preparation, and go back to the version's page."""
        found = self.get_object(request, str(version_id))
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        if found is None:
            raise Http404
        try:
            operations.prepare(found, operations.Request(via=Origin.ADMIN, user=request.user))  # type: ignore[arg-type]
        except OperationRefused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("admin:instances_version_change", args=(found.pk,)))

    def delete_model(self, request: HttpRequest, obj: Version) -> None:
        with transaction.atomic():
            obj.delete()
            operations.discard(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        with transaction.atomic():
            versions = list(queryset)
            Version.objects.filter(pk__in=[version.pk for version in versions]).delete()
            for version in {version.image: version for version in versions}.values():
                operations.discard(version)
