"""A day and a time of day, in one field that browsers know how to fill in."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

FORMAT = "%Y-%m-%dT%H:%M"
"""HTML Living Standard, 2.3.5.5 Local dates and times: what browsers send and take, whatever they show."""


class MomentInput(forms.DateTimeInput):
    """In the time zone of the control plane (TIME_ZONE)."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        look = UnfoldAdminTextInputWidget().attrs
        super().__init__(attrs={**look, **(attrs or {})}, format=FORMAT)


class MomentField(forms.DateTimeField):
    """Gives an aware time, or None where it was left empty."""

    widget = MomentInput
    input_formats = [FORMAT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
