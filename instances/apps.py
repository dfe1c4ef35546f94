from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InstancesConfig(AppConfig):
    name = "instances"
    verbose_name = _("OpenSlides")

    def ready(self) -> None:
        # Importing connects them: system checks, and what the worker does when it starts.
        from instances import audit, checks, worker  # noqa: F401

        audit.register()
