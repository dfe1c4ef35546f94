"""Domains that instances hang under."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from instances import domains
from instances.admin.defaults import DefaultForm, OneDefault
from instances.models import Domain

PRESENT = Q(instances__removed_at=None)


@admin.register(Domain)
class DomainAdmin(OneDefault):
    form = DefaultForm
    list_display = ("domain", "default_mark", "has_certificate", "is_served", "used_by")
    search_fields = ("domain",)
    list_per_page = 50
    fieldsets = (
        (None, {"fields": ("domain", "default")}),
        (_("TLS"), {"fields": ("certificate", "certificate_key")}),
    )
    empty_text = _("No domain yet")
    empty_hint = _("An instance is found below a domain. Add one first, like assembly.example.org.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        queryset: QuerySet[Domain] = super().get_queryset(request)
        return queryset.annotate(used=Count("instances", filter=PRESENT))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The name stays as soon as instances have it in their address."""
        used = obj is not None and obj.instances.present().exists()
        return ("problem", "domain") if used else ("problem",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With what keeps the hosts from serving it, if something does."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and obj.problem:
            return ((None, {"fields": ("problem",)}), *fieldsets)
        return fieldsets

    def save_model(self, request: HttpRequest, obj: Domain, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        domains.open_on_hosts(obj)

    def delete_model(self, request: HttpRequest, obj: Domain) -> None:
        domains.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Domain]) -> None:
        for domain in queryset:
            domains.delete(domain)

    @admin.display(description=_("served"), boolean=True)
    def is_served(self, domain: Domain) -> bool:
        return not domain.problem

    @admin.display(description=_("certificate"), boolean=True)
    def has_certificate(self, domain: Domain) -> bool:
        return bool(domain.certificate)

    @admin.display(description=_("instances"), ordering="used")
    def used_by(self, domain: Any) -> SafeString:
        return number_with_link(domain.used, domain__id__exact=domain.pk)


def number_with_link(number: int, **filters: Any) -> SafeString:
    """How many instances, with a link to them."""
    if not number:
        return SafeString("0")
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    url = f"{reverse('admin:instances_instance_changelist')}?{query}"
    return format_html('<a class="mi-link" href="{}">{}</a>', url, number)
