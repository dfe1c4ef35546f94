"""The forms that backups are asked about with."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from instances import backups
from instances.admin.moments import PostponableForm
from instances.models import Backup, Domain, Instance


class RestoreForm(PostponableForm):
    safety = forms.BooleanField(
        label=_("Back up the present data first"),
        required=False,
        initial=True,
        help_text=_("Switch it off only if the present data cannot be read any more."),
        widget=UnfoldBooleanSwitchWidget(),
    )

    field_order = ["safety", "not_before"]


class CopyForm(forms.Form):
    """What a new instance is called that is made of another one's data."""

    slug = forms.CharField(
        label=_("Slug"),
        max_length=63,
        help_text=_("The new instance's name in its address: lower case letters, digits and hyphens."),
        widget=UnfoldAdminTextInputWidget(),
    )
    domain = forms.ModelChoiceField(
        Domain.objects.all(), label=_("Domain"), empty_label=None, widget=UnfoldAdminSelectWidget()
    )

    def __init__(self, source: Instance, *args: Any, **kwargs: Any) -> None:
        self.source = source
        self.copy: Instance | None = None
        super().__init__(*args, **kwargs)
        self.fields["domain"].initial = source.domain_id

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if not self.errors:
            self.copy = backups.copy_of(self.source, values["slug"], values["domain"])
            try:
                self.copy.full_clean(exclude=["host"])
            except ValidationError as error:
                for name, texts in error.message_dict.items():
                    field = "slug" if name == NON_FIELD_ERRORS else name
                    self.add_error(field if field in self.fields else None, texts)
        return values


class _Backups(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        words = [
            date_format(localtime(obj.created_at), "DATETIME_FORMAT"),
            str(obj.get_reason_display()),
            str(obj.version),
            filesizeformat(obj.size),
        ]
        if obj.problem:
            words.append(gettext("damaged"))
        return " · ".join(words)


class BringBackForm(forms.Form):
    backup = _Backups(Backup.objects.none(), label=_("Backup"), empty_label=None, widget=UnfoldAdminSelectWidget())

    def __init__(self, instance: Instance, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["backup"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = instance.backups.newest().select_related("version")
        best = instance.backups.best()
        field.initial = best.pk if best else None


class PurgeForm(forms.Form):
    slug = forms.CharField(
        label=_("Its slug, as a confirmation"),
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
    )

    def __init__(self, instance: Instance, *args: Any, **kwargs: Any) -> None:
        self.instance = instance
        super().__init__(*args, **kwargs)

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"].strip()
        if slug != self.instance.slug:
            raise ValidationError(gettext("That is not its slug. Nothing was done."))
        return slug
