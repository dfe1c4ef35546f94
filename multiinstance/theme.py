"""How the admin looks, and what stands in its sidebar: django-unfold's setting UNFOLD."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


def _list_of(title: str | Promise, icon: str, model: str, permission: str) -> dict[str, Any]:
    """The entry that leads to a model's list (APP_MODEL), for whom ``permission`` of permissions.py lets see it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": f"instances.admin.permissions.{permission}",
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("OpenSlides instances"),
    "SITE_HEADER": _("OpenSlides instances"),
    "SITE_SUBHEADER": _("Control plane"),
    "SITE_SYMBOL": "co_present",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("instances/icon.svg")},
    ],
    "SITE_URL": None,
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "instances.admin.dashboard.fill",
    "STYLES": [lambda request: static("instances/admin.css")],
    "SCRIPTS": [lambda request: static("instances/admin.js")],
    "COLORS": {
        # Every white text on 600 and 700 has a contrast of 4.5 and more (WCAG 2.1, 1.4.3).
        "primary": {
            "50": "oklch(97.2% .013 236)",
            "100": "oklch(94.4% .026 236)",
            "200": "oklch(89.4% .05 234)",
            "300": "oklch(82% .09 232)",
            "400": "oklch(74% .125 233)",
            "500": "oklch(63.5% .135 238)",
            "600": "oklch(52.5% .12 241)",
            "700": "oklch(46% .105 242)",
            "800": "oklch(40.5% .09 241)",
            "900": "oklch(35% .075 240)",
            "950": "oklch(27% .055 242)",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": _("Overview"), "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    _list_of(_("Instances"), "co_present", "instances_instance", "instances"),
                    _list_of(_("Operations"), "checklist", "instances_operation", "operations"),
                    _list_of(_("Updates of many"), "upgrade", "instances_rollout", "rollouts"),
                    _list_of(_("Backups"), "archive", "instances_backup", "backups"),
                ]
            },
            {
                "title": _("Set-up"),
                "separator": True,
                "items": [
                    _list_of(_("Versions"), "deployed_code", "instances_version", "versions"),
                    _list_of(_("Domains"), "language", "instances_domain", "domains"),
                    _list_of(_("Hosts"), "dns", "instances_host", "hosts"),
                    _list_of(_("Orphans"), "inventory_2", "instances_orphan", "orphans"),
                    _list_of(_("Locks"), "lock", "instances_actionlock", "locks"),
                    _list_of(_("Log"), "history", "auditlog_logentry", "log"),
                    _list_of(_("Logos"), "image", "instances_blob", "logos"),
                ],
            },
            {
                "title": _("Access"),
                "separator": True,
                "items": [
                    _list_of(_("Users"), "person", "auth_user", "users"),
                    _list_of(_("Groups"), "group", "auth_group", "groups"),
                    _list_of(_("API tokens"), "key", "instances_apitoken", "tokens"),
                ],
            },
        ],
    },
}
