"""The form of an instance: complete for one that is not created yet, and one record for all others."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordToggleWidget, UnfoldAdminSelectWidget

from instances.admin.base import ModelForm
from instances.admin.logos import PngField
from instances.choices import Db
from instances.errors import OperationRefused
from instances.models import Domain, Host, Instance, Version

PASSWORDS = ("superadmin_password", "admin_initial_password")
NUMBERS = {"idle_minutes", "workers", "backup_hours"}

Refusal = OperationRefused | ValidationError


class RecordForm(ModelForm[Instance]):
    """Of an instance that was created: what OpenSlides holds is not changed from here.

    ``refusal``: why the operation that saving asked for was refused; shown at its field.
    """

    refusal: Refusal | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in NUMBERS & self.fields.keys():
            self.fields[name].required = False

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for name in NUMBERS & self.cleaned_data.keys():
            if self.cleaned_data[name] in (None, ""):
                # Left empty: as it is, which in a new one is the default.
                self.cleaned_data[name] = getattr(self.instance, name)
        if isinstance(self.refusal, ValidationError):
            # The constraint names no field; what can collide is the slug.
            self._blame("slug", self.refusal.messages)
        elif self.refusal is not None:
            self._blame(self.refusal.field, [str(self.refusal)])
        return cleaned

    def _blame(self, field: str | None, errors: list[str]) -> None:
        known = field if field in self.fields else None
        self.add_error(known, errors)

    @property
    def saved_fields(self) -> list[str]:
        """The model's fields that this form sets."""
        return [name for name in self.fields if name in self._model_fields()]

    @staticmethod
    def _model_fields() -> set[str]:
        return {field.name for field in Instance._meta.concrete_fields}


def _password(label: Any, help_text: Any) -> forms.CharField:
    # Typed values come back when another field is wrong; kept ones never leave the database.
    widget = UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": "new-password"}, render_value=True)
    return forms.CharField(label=label, help_text=help_text, required=False, strip=False, widget=widget)


class InstanceForm(RecordForm):
    """Of a new instance, or one whose creation failed."""

    host = forms.ModelChoiceField(
        Host.objects.all(),
        label=_("Host"),
        required=False,
        empty_label=_("the one with the most room"),
        widget=UnfoldAdminSelectWidget(),
    )
    superadmin_password = _password(
        _("Superadmin password"), _("Of the account 'admin' in OpenSlides. Empty: a new one is generated.")
    )
    admin_initial_password = _password(_("Initial password"), _("Empty: a new one is generated."))
    logo_file = PngField(
        label=_("Upload a logo"), required=False, help_text=_("A PNG picture; the projector shows it.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance._state.adding
        for name in PASSWORDS:
            self.initial[name] = ""
            if not self.is_new:
                self.fields[name].help_text = _("Empty: the present one stays.")
        self._offer_usable()
        # Where there is no choice, nothing is asked.
        if "host" in self.fields and Host.objects.count() < 2:
            del self.fields["host"]

    def _offer_usable(self) -> None:
        if isinstance(field := self.fields.get("version"), forms.ModelChoiceField):
            versions = Version.objects.filter(enabled=True)
            if not self.is_new:
                versions |= Version.objects.filter(pk=self.instance.version_id)
            field.queryset = versions
        if isinstance(field := self.fields.get("db"), forms.TypedChoiceField):
            field.choices = [("", _("the host's default")), *Db.choices]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        domain, slug = self.cleaned_data.get("domain"), self.cleaned_data.get("slug")
        if isinstance(domain, Domain) and slug:
            others = Instance.objects.present().filter(domain=domain, slug=slug).exclude(pk=self.instance.pk)
            if others.exists():
                self.add_error("slug", gettext("There is an instance with this slug in this domain already."))
        for name in PASSWORDS:
            if not self.cleaned_data.get(name) and name not in self.errors:
                # Empty on a new one is filled in when it is saved.
                self.cleaned_data[name] = "" if self.is_new else getattr(self.instance, name)
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        # What a constraint of the database says of the form as a whole is said of the slug already.
        if "slug" in self.errors and NON_FIELD_ERRORS in self.errors:
            known = set(self.errors["slug"])
            rest = [error for error in self.errors[NON_FIELD_ERRORS] if error not in known]
            if not rest:
                del self.errors[NON_FIELD_ERRORS]
