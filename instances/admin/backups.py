"""Backups: their list, and the page of each."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from deployers.errors import DeployError
from instances import audit, backups, downloads, operations
from instances.admin.backup_badges import backup_badge
from instances.admin.backup_forms import CopyForm, RestoreForm
from instances.admin.badges import Badge, ago, badge
from instances.admin.base import DropdownFilter
from instances.admin.instance.backups import blame
from instances.admin.instance.views import request_of, tell_if_postponed
from instances.admin.live import LiveBadges
from instances.errors import OperationRefused
from instances.models import Backup


class InstanceIsFilter(DropdownFilter):
    """Of instances that are there, or of those that are removed."""

    title = _("instance")
    parameter_name = "removed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", str(_("Present"))), ("yes", str(_("Removed")))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Backup]) -> QuerySet[Backup]:
        if self.value() not in ("no", "yes"):
            return queryset
        return queryset.filter(instance__removed_at__isnull=self.value() == "no")


class QualityFilter(DropdownFilter):
    """By the words of ``backup_badge``."""

    title = _("state")
    parameter_name = "quality"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("complete", str(_("complete"))),
            ("verified", str(_("verified"))),
            ("damaged", str(_("damaged"))),
            ("incomplete", str(_("not complete"))),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Backup]) -> QuerySet[Backup]:
        complete = queryset.filter(completed_at__isnull=False)
        match self.value():
            case "complete":
                return complete.filter(problem="", verified_at=None)
            case "verified":
                return complete.filter(problem="", verified_at__isnull=False)
            case "damaged":
                return complete.exclude(problem="")
            case "incomplete":
                return queryset.filter(completed_at=None)
            case _:
                return queryset


@admin.register(Backup)
class BackupAdmin(LiveBadges):
    list_display = ("of", "made", "reason", "state_badge", "volume", "release", "kept", "checked")
    list_display_links = ("of",)
    list_filter = (
        QualityFilter,
        ("reason", ChoicesDropdownFilter),
        InstanceIsFilter,
        ("version", RelatedDropdownFilter),
        ("host", RelatedDropdownFilter),
    )
    search_fields = ("instance__slug", "instance__domain__domain", "instance__event_name", "^instance__id")
    search_help_text = _("Slug, domain, event name or id of an instance")
    list_select_related = ("instance__domain", "version", "host", "created_by")
    list_per_page = 50
    sortable_by = ("made", "volume", "kept", "checked")
    actions = None
    empty_text = _("No backup yet")
    empty_hint = _("Make one on the page of an instance, or let it be backed up by itself.")
    fieldsets = ((None, {"fields": ()}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # The list

    @admin.display(description=_("instance"))
    def of(self, backup: Backup) -> str:
        return str(backup.instance)

    @admin.display(description=_("made"), ordering="created_at")
    def made(self, backup: Backup) -> SafeString:
        exact = date_format(localtime(backup.created_at), "DATETIME_FORMAT")
        return format_html('<span class="mi-nowrap" title="{}">{}</span>', exact, ago(backup.created_at))

    @admin.display(description=_("state"))
    def state_badge(self, backup: Backup) -> SafeString:
        shown = backup_badge(backup)
        return badge(shown["label"], shown["colour"], live_id=backup.pk)

    @admin.display(description=_("size"), ordering="size")
    def volume(self, backup: Backup) -> SafeString:
        return format_html('<span class="mi-nowrap">{}</span>', filesizeformat(backup.size) if backup.size else "–")

    @admin.display(description=_("version"))
    def release(self, backup: Backup) -> str:
        return backup.version.name

    @admin.display(description=_("kept until"), ordering="expires_at")
    def kept(self, backup: Backup) -> SafeString:
        return format_html('<span class="mi-nowrap">{}</span>', kept_until(backup) if backup.is_complete else "–")

    @admin.display(description=_("verified"), ordering="verified_at")
    def checked(self, backup: Backup) -> SafeString:
        return format_html('<span class="mi-nowrap">{}</span>', ago(backup.verified_at) if backup.verified_at else "–")

    def badge_of(self, row: Backup) -> Badge:
        return backup_badge(row)

    def badge_rows(self, ids: list[Any]) -> QuerySet[Backup]:
        return Backup.objects.filter(pk__in=ids)

    # The page

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        views = {
            "restore": self.restore_view,
            "clone": self.clone_view,
            "verify": self.verify_view,
            "download": self.download_view,
        }
        own = [
            path(f"<int:backup_id>/{name}/", wrap(view), name=f"instances_backup_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        backup = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if backup is not None and self.has_view_permission(request, backup):
            context |= {"title": str(backup), **self._facts(request, backup)}
        return super().change_view(request, object_id, form_url, context)

    def restore_view(self, request: HttpRequest, backup_id: int) -> HttpResponse:
        """The page that says what a restore throws away."""
        backup = self._find(request, backup_id, "restore_backup")
        form = RestoreForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                asked = request_of(request, form.cleaned_data["not_before"])
                filed = operations.restore(backup, asked, safety=form.cleaned_data["safety"])
            except OperationRefused as refused:
                blame(form, refused)
            else:
                tell_if_postponed(request, filed)
                return self._to_instance(backup.instance_id)
        context = self._page(request, backup, gettext("Restore")) | {
            "form": form,
            "age": ago(backup.created_at),
            "keep_days": round(settings.BACKUP_KEEP_DAYS),
        }
        return TemplateResponse(request, "admin/instances/backup/restore.html", context)

    def clone_view(self, request: HttpRequest, backup_id: int) -> HttpResponse:
        """The page that asks what an instance shall be called that is made of this backup."""
        backup = self._find(request, backup_id, "add_instance", "restore_backup")
        form = CopyForm(backup.instance, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            assert form.copy is not None
            try:
                operations.create(form.copy, request_of(request), backup)
            except (OperationRefused, ValidationError) as refused:
                blame(form, refused)
            else:
                return self._to_instance(form.copy.pk)
        context = self._page(request, backup, gettext("Clone")) | {"form": form}
        return TemplateResponse(request, "admin/instances/backup/clone.html", context)

    @method_decorator(require_POST)
    def verify_view(self, request: HttpRequest, backup_id: int) -> HttpResponse:
        backup = self._find(request, backup_id, "change_backup")
        try:
            operations.verify(backup, request_of(request))
        except OperationRefused as refused:
            messages.error(request, str(refused))
        return self._to_backup(backup)

    @method_decorator(require_safe)
    def download_view(self, request: HttpRequest, backup_id: int) -> HttpResponseBase:
        backup = self._find(request, backup_id, "download_backup")
        try:
            if not backup.is_complete:
                raise Http404(gettext("It is not complete yet."))
            answer = downloads.archive_response(backup, request)
        except DeployError as error:
            messages.error(request, str(error))
            return self._to_backup(backup)
        if request.method == "GET":
            audit.note(backup, "downloaded", request)
        return answer

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The archive goes, too; not while an operation needs it."""
        if not object_id.isdecimal() or len(object_id) > 18:
            raise Http404
        backup = self._find(request, int(object_id), "delete_backup")
        if request.method == "POST":
            try:
                backups.delete(backup)
            except (OperationRefused, DeployError) as error:
                messages.error(request, str(error))
                return self._to_backup(backup)
            messages.success(request, gettext("The backup %(backup)s was deleted.") % {"backup": backup})
            return HttpResponseRedirect(reverse("admin:instances_backup_changelist"))
        others = backup.instance.backups.complete().exclude(pk=backup.pk).filter(problem="")
        context = self._page(request, backup, gettext("Delete")) | {"is_last": not others.exists()}
        return TemplateResponse(request, "admin/instances/backup/delete.html", context)

    def _find(self, request: HttpRequest, backup_id: int, *permissions: str) -> Backup:
        """Raises PermissionDenied unless the user has all of the permissions; Http404."""
        if not request.user.has_perms([f"instances.{permission}" for permission in permissions]):
            raise PermissionDenied
        rows = Backup.objects.select_related("instance__domain", "instance__version", "instance__host", "version")
        backup = rows.filter(pk=backup_id).first() if backup_id < 2**63 else None
        if backup is None:
            raise Http404(gettext("There is no such backup."))
        return backup

    def _facts(self, request: HttpRequest, backup: Backup) -> dict[str, Any]:
        user = request.user
        is_there = backup.instance.removed_at is None and backup.instance.is_installed
        unfinished = backup.operations.filter(finished_at=None).first()
        return {
            "backup": backup,
            "badge": backup_badge(backup),
            "unfinished": unfinished,
            "kept": kept_until(backup),
            "file_size": filesizeformat(backup.size),
            "may_restore": backup.is_complete and is_there and user.has_perm("instances.restore_backup"),
            "may_clone": backup.is_complete and user.has_perms(["instances.add_instance", "instances.restore_backup"]),
            "may_download": backup.is_complete and user.has_perm("instances.download_backup"),
            "may_verify": backup.is_complete and unfinished is None and user.has_perm("instances.change_backup"),
            "may_delete": unfinished is None and user.has_perm("instances.delete_backup"),
        }

    def _page(self, request: HttpRequest, backup: Backup, title: str) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": backup,
            "backup": backup,
            "instance": backup.instance,
            "title": title,
        }

    def _to_backup(self, backup: Backup) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:instances_backup_change", args=(backup.pk,)))

    def _to_instance(self, instance_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:instances_instance_change", args=(instance_id,)))


def kept_until(backup: Backup) -> str:
    """A date, or that somebody deletes it."""
    if backup.expires_at is None:
        return gettext("it is deleted")
    return date_format(localtime(backup.expires_at), "DATE_FORMAT")
