"""A day and a time of day, in one field that browsers know how to fill in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.functional import lazystr
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from instances.validators import validate_to_come

FORMAT = "%Y-%m-%dT%H:%M"
"""HTML Living Standard, 2.3.5.5 Local dates and times: what browsers send and take, whatever they show."""


class MomentInput(forms.DateTimeInput):
    """In the time zone of the control plane (TIME_ZONE)."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        look = UnfoldAdminTextInputWidget().attrs
        super().__init__(attrs={**look, **(attrs or {})}, format=FORMAT)


class NotBeforeField(forms.DateTimeField):
    """When something shall begin: an aware time to come, or None (at once) where it was left empty."""

    widget = MomentInput
    input_formats = [FORMAT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
    default_validators = [validate_to_come]

    def __init__(self, *, required: bool = False, **options: Any) -> None:
        options = {"label": _("Not before"), "help_text": lazystr(_Zone(required)), **options}
        super().__init__(required=required, **options)


class _Zone:
    """The help text, in the language and the time zone of whom it is shown to."""

    def __init__(self, required: bool) -> None:
        self.required = required

    def __str__(self) -> str:
        zone = {"zone": timezone.get_current_timezone_name()}
        if self.required:
            return gettext("The time zone is %(zone)s.") % zone
        return gettext("Empty: at once. The time zone is %(zone)s.") % zone


class PostponableForm(forms.Form):
    """Of whatever can be asked for now and begin later."""

    not_before = NotBeforeField()
