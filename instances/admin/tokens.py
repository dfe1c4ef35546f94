"""API tokens: their list, the form that makes one, and the page that shows it for the only time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldBooleanSwitchWidget

from instances import tokens
from instances.admin.badges import ago, badge
from instances.admin.base import ModelAdmin, ModelForm
from instances.models import ApiToken

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAY_SEE_ALL = "auth.change_user"
"""Whoever may change an account may take it over, too: a token adds nothing to that."""


class TokenForm(ModelForm[ApiToken]):
    """``owner``: whose it is where nobody else can be chosen."""

    owner: User
    days = forms.IntegerField(
        label=_("Valid for (days)"),
        initial=tokens.DEFAULT_DAYS,
        required=False,
        help_text=format_lazy(_("At most {most}."), most=tokens.MOST_DAYS),
        widget=UnfoldAdminIntegerFieldWidget(attrs={"min": 1, "max": tokens.MOST_DAYS}),
    )
    for_ever = forms.BooleanField(
        label=_("Never expires"),
        required=False,
        help_text=_("It is valid until it is deleted. Only where nobody could put a new one in its place in time."),
        widget=UnfoldBooleanSwitchWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and "user" not in self.fields:
            self.instance.user = self.owner

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("for_ever"):
            self.cleaned_data["days"] = None
        elif self.cleaned_data.get("days") is None and "days" not in self.errors:
            self.add_error("days", gettext("Say how many days, or that it never expires."))
        else:
            tokens.check_days(self.cleaned_data.get("days"))
        return cleaned


@admin.register(ApiToken)
class TokenAdmin(ModelAdmin[ApiToken]):
    form = TokenForm
    list_display = ("name", "user", "begins", "made", "ends", "state_badge")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    list_per_page = 50
    autocomplete_fields = ("user",)
    empty_text = _("No API token yet")
    empty_hint = _("With a token a program uses the API: it needs no password, and the log says which token it was.")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Another one is made instead."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        found: QuerySet[ApiToken] = super().get_queryset(request).select_related("user")
        return found if _sees_all(request) else found.filter(user=request.user.pk)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [column for column in self.list_display if column != "user" or _sees_all(request)]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [("user", RelatedDropdownFilter)] if _sees_all(request) else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is not None:
            return ("name", "user", "begins", "made", "ends", "state_badge")
        return ("name", "user", "days", "for_ever") if _sees_all(request) else ("name", "days", "for_ever")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.owner = request.user
        return form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.help_text = gettext("Whoever has the token may do over the API what this user may do.")
            # Users have their own pages.
            field.widget.can_add_related = field.widget.can_change_related = field.widget.can_view_related = False
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        # Kept on the object, and not in a message or a session, which are stored.
        obj.secret = tokens.issue(obj, form.cleaned_data["days"])

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """The answer itself shows the token: nobody can ask for that page a second time."""
        next_page = "instances_apitoken_changelist" if self.has_view_permission(request) else "index"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Token of %(user)s") % {"user": obj.user},
            "token": obj,
            "ends": self.ends(obj),
            "api": request.build_absolute_uri(reverse("api:root")),
            "next": reverse(f"admin:{next_page}"),
        }
        return TemplateResponse(request, "admin/instances/apitoken/added.html", context)

    @admin.display(description=_("begins with"))
    def begins(self, token: ApiToken) -> SafeString:
        return format_html("<code>{}</code>", token.beginning)

    @admin.display(description=_("created"), ordering="created")
    def made(self, token: ApiToken) -> SafeString:
        exact = date_format(localtime(token.created), "DATETIME_FORMAT")
        return format_html('<span class="mi-nowrap" title="{}">{}</span>', exact, ago(token.created))

    @admin.display(description=_("expires"), ordering="expiry")
    def ends(self, token: ApiToken) -> SafeString:
        shown = gettext("never") if token.expiry is None else date_format(localtime(token.expiry), "DATE_FORMAT")
        return format_html('<span class="mi-nowrap">{}</span>', shown)

    @admin.display(description=_("state"))
    def state_badge(self, token: ApiToken) -> SafeString:
        return badge(str(token.state.label), token.state.badge)


def _sees_all(request: HttpRequest) -> bool:
    return cast("User", request.user).has_perm(MAY_SEE_ALL)
