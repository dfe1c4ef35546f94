"""Texts of libraries which bring no German catalogue, so they are named here to get into ours (locale/)."""

from __future__ import annotations

from django.utils.translation import gettext_noop

OF_UNFOLD = (
    gettext_noop("Apply Filters"),
    gettext_noop("Cancel"),
    gettext_noop("Choose file to upload"),
    gettext_noop("Dark"),
    gettext_noop("General"),
    gettext_noop("Go back"),
    gettext_noop("Image preview"),
    gettext_noop("Light"),
    gettext_noop("More actions"),
    gettext_noop("No results found"),
    gettext_noop("Reset filters"),
    gettext_noop("Run"),
    gettext_noop("Select action"),
    gettext_noop("Select action to run"),
    gettext_noop("Select all rows"),
    gettext_noop("Select record"),
    gettext_noop("Select value"),
    gettext_noop("System"),
    gettext_noop("Toggle password visibility"),
    gettext_noop("Type to search"),
    gettext_noop("Welcome back to"),
)
OF_AUDITLOG = (
    gettext_noop("Audit log"),
    gettext_noop("Created {repr:s}"),
    gettext_noop("Deleted {repr:s}"),
    gettext_noop("Logged {repr:s}"),
    gettext_noop("Updated {repr:s}"),
    gettext_noop("access"),
    gettext_noop("action"),
    gettext_noop("actor"),
    gettext_noop("create"),
    gettext_noop("delete"),
    gettext_noop("log entries"),
    gettext_noop("log entry"),
    gettext_noop("update"),
)
