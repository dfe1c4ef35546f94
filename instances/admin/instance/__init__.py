"""The instances: their list, their form, and their page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter

from instances import operations
from instances.admin.badges import Badge, ago, badge, instance_badge, link_to
from instances.admin.base import ChangeList
from instances.admin.deleting import DeletesHistory
from instances.admin.instance.backups import BackupViews
from instances.admin.instance.bulk import InstanceActions
from instances.admin.instance.filters import AttentionFilter, RemovedFilter, StateFilter, present
from instances.admin.instance.form import InstanceForm, RecordForm
from instances.admin.instance.history import HistoryViews
from instances.admin.instance.later import LaterViews
from instances.admin.instance.page import head_of, is_editable
from instances.admin.instance.views import request_of
from instances.admin.live import LiveBadges
from instances.admin.logos import keep
from instances.choices import HostKind
from instances.errors import OperationRefused
from instances.models import Blob, Domain, Host, Instance, Operation, Version
from instances.models.instance import InstanceQuerySet
from instances.models.operation import OperationQuerySet

EVENT = ("event_description", "event_date", "event_location", "event_organizer")
RUNNING = ("always_on", "idle_minutes", "workers")
ADMIN = ("admin_first_name", "admin_last_name", "admin_username")
CREATED_WITH = ("slug", "domain", "mode", "version", "db", "host", "projector_logo", "event_name", *EVENT[:3], *ADMIN)
"""What OpenSlides is created with, and what changes in OpenSlides from then on."""


class InstanceList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        if not self.params.get(RemovedFilter.parameter_name) and RemovedFilter.parameter_name not in request.GET:
            # “All” in the list's head means all that the list would show.
            self.root_queryset = present(self.root_queryset)
        super().get_results(request)


@admin.register(Instance)
class InstanceAdmin(LiveBadges, InstanceActions, BackupViews, LaterViews, HistoryViews, DeletesHistory):
    list_display = ("name", "state_badge", "used", "link", "release", "domain", "host", "created")
    list_display_links = ("name",)
    list_filter = (
        StateFilter,
        AttentionFilter,
        ("version", RelatedDropdownFilter),
        ("domain", RelatedDropdownFilter),
        ("host", RelatedDropdownFilter),
        RemovedFilter,
    )
    list_select_related = ("domain", "host", "version", "projector_logo")
    list_per_page = 50
    list_max_show_all = 200
    search_fields = ("slug", "event_name", "^id", "event_organizer", "event_location", "domain__domain")
    search_help_text = _("Slug, event name, id, organizer, location or domain")
    change_form_outer_before_template = "admin/instances/instance/head.html"
    empty_text = _("No instance yet")
    empty_hint = _("Add one, and a few seconds later an OpenSlides answers at its own address.")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return InstanceList

    def get_queryset(self, request: HttpRequest) -> InstanceQuerySet:
        queryset = super().get_queryset(request)
        assert isinstance(queryset, InstanceQuerySet)
        return queryset.with_operation().select_related(*self.list_select_related)

    # The list

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(self.list_display)
        kinds = list(Host.objects.values_list("kind", flat=True))
        if len(kinds) < 2:
            columns.remove("host")
        if HostKind.SYSTEMD not in kinds:
            # Elsewhere nobody counts connections: what shall run runs, used or not.
            columns.remove("used")
        return columns

    @admin.display(description=_("instance"), ordering="slug")
    def name(self, instance: Instance) -> SafeString:
        return format_html(
            '<span class="mi-name"><span class="mi-cut">{}</span>'
            '<span class="mi-cut mi-note" title="{}">{}</span></span>',
            instance.slug,
            instance.event_name,
            instance.event_name,
        )

    @admin.display(description=_("version"), ordering="version__name")
    def release(self, instance: Instance) -> str:
        return instance.version.name

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, instance: Instance) -> SafeString:
        exact = date_format(localtime(instance.created_at), "DATETIME_FORMAT")
        return format_html('<span class="mi-nowrap" title="{}">{}</span>', exact, ago(instance.created_at))

    @admin.display(description=_("last used"), ordering=F("last_used_at").desc(nulls_last=True), empty_value="–")
    def used(self, instance: Instance) -> SafeString | None:
        if instance.last_used_at is None:
            return None
        exact = date_format(localtime(instance.last_used_at), "DATETIME_FORMAT")
        return format_html('<span class="mi-nowrap" title="{}">{}</span>', exact, ago(instance.last_used_at))

    @admin.display(description=_("state"), ordering="observed_state")
    def state_badge(self, instance: Instance) -> SafeString:
        shown = instance_badge(instance)
        return badge(
            shown["label"],
            shown["colour"],
            live_id=instance.pk,
            note=shown["note"],
            attention=shown.get("attention", ""),
        )

    @admin.display(description=_("address"))
    def link(self, instance: Instance) -> SafeString:
        return link_to(instance_badge(instance)["url"])

    def badge_of(self, row: Instance) -> Badge:
        return instance_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Instance]:
        return Instance.objects.with_operation().select_related(*self.list_select_related).filter(pk__in=ids)

    def operations_of(self, rows: Any) -> OperationQuerySet:
        return Operation.objects.filter(instance__in=rows)

    # The form

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        base = InstanceForm if is_editable(obj) else RecordForm
        form = super().get_form(request, obj, change, **{"form": base, **kwargs})
        # The operation that the form asked for was refused a moment ago; this form is to say so.
        return type(form.__name__, (form,), {"refusal": getattr(request, "refusal", None)})

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Sequence[str]]:
        return {"slug": ("event_name",)} if obj is None else {}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if is_editable(obj) else CREATED_WITH

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The default version and domain, or the only ones."""
        initial: dict[str, Any] = {}
        versions = Version.objects.filter(enabled=True)
        for field, rows in (("version", versions), ("domain", Domain.objects.all())):
            chosen = rows.filter(default=True).first() or (rows.first() if rows.count() == 1 else None)
            if chosen is not None:
                initial[field] = chosen.pk
        return {**initial, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            # Small pencils and eyes beside each choice lead away from a form that is half filled in.
            field.widget.can_add_related = field.widget.can_change_related = False
            field.widget.can_view_related = field.widget.can_delete_related = False
        return field

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if not is_editable(obj):
            return self._record_fieldsets(obj)
        place = ["domain", "mode", "db"]
        if Host.objects.count() > 1:
            place.append("host")
        logo = ["logo_file"]
        if Blob.objects.exists():
            logo.append("projector_logo")
        return (
            (None, {"fields": ("event_name", "slug", "version")}),
            (_("Address and data"), {"fields": place}),
            (_("Event"), {"fields": EVENT}),
            (_("Local administrator"), {"fields": (*ADMIN, "admin_initial_password")}),
            (_("Superadmin"), {"fields": ("superadmin_password",)}),
            (_("Projector logo"), {"fields": logo}),
            (_("Scheduled backups"), {"fields": ("backup_hours",)}),
            (_("Sleep and size"), {"fields": RUNNING, "classes": ("collapse",)}),
        )

    def _record_fieldsets(self, instance: Instance) -> Any:
        hint = gettext("OpenSlides was created with these values. Change them in OpenSlides itself.")
        place = gettext("The version is changed with the button “Update” above.") if instance.is_installed else ""
        return (
            (_("Record"), {"fields": ("event_organizer",)}),
            (_("Scheduled backups"), {"fields": ("backup_hours",)}),
            (_("Sleep and size"), {"fields": RUNNING}),
            (_("Event"), {"fields": ("event_name", *EVENT[:3], "projector_logo"), "description": hint}),
            (_("Local administrator"), {"fields": ADMIN, "description": hint}),
            (
                _("Address and data"),
                {"fields": ("slug", "domain", "mode", "version", "db", "host"), "description": place},
            ),
        )

    # Saving

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Saving may ask for an operation. If that is refused, the form comes back with the reason at its field."""
        context = {"show_save_and_continue": False, "show_delete": False, **(extra_context or {})}
        if object_id is None:
            context["missing"] = self._missing(request)
        else:
            context["show_save_and_add_another"] = False
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except (OperationRefused, ValidationError) as refusal:
            # Everything was rolled back, so the second time begins where the first did.
            request.refusal = refusal  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = dict(extra_context or {})
        instance = self.get_object(request, unquote(object_id))
        if instance is not None and self.has_view_or_change_permission(request, instance):
            context["head"] = head_of(instance, request)
            context["may_see_credentials"] = request.user.has_perm("instances.view_credentials")
            context["live_url"] = reverse("admin:instances_instance_live", args=(instance.pk,))
        return super().change_view(request, object_id, form_url, context)

    def _missing(self, request: HttpRequest) -> list[dict[str, Any]]:
        """What has to be there before an instance can be."""
        needed = (
            (Version.objects.filter(enabled=True), "version", gettext("There is no enabled version yet.")),
            (Domain.objects.all(), "domain", gettext("There is no domain yet.")),
            (Host.objects.all(), "host", gettext("There is no host yet.")),
        )
        return [
            {
                "text": text,
                "url": reverse(f"admin:instances_{model}_add")
                if request.user.has_perm(f"instances.add_{model}")
                else "",
            }
            for rows, model, text in needed
            if not rows.exists()
        ]

    def save_model(self, request: HttpRequest, obj: Instance, form: Any, change: bool) -> None:
        """Raises OperationRefused, ValidationError."""
        upload = form.cleaned_data.get("logo_file")
        blob = keep(upload) if upload else None
        if blob is not None:
            obj.projector_logo = blob
        try:
            if not change or "_create" in request.POST:
                operations.create(obj, request_of(request))
            else:
                fields = {*form.saved_fields, *(["projector_logo"] if blob else [])}
                obj.save(update_fields=fields)
                if set(form.changed_data) & set(RUNNING):
                    operations.run_as_set(obj, request_of(request))
        except (OperationRefused, ValidationError):
            if blob is not None:
                # The row goes with the transaction, the file does not.
                blob.file.delete(save=False)
            raise

    def response_add(self, request: HttpRequest, obj: Instance, post_url_continue: str | None = None) -> HttpResponse:
        if "_addanother" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return HttpResponseRedirect(reverse("admin:instances_instance_change", args=(obj.pk,)))

    def response_change(self, request: HttpRequest, obj: Instance) -> HttpResponse:
        if "_create" not in request.POST:
            messages.success(request, gettext("%(instance)s was saved.") % {"instance": obj})
        return HttpResponseRedirect(reverse("admin:instances_instance_change", args=(obj.pk,)))
