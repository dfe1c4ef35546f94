"""The Celery application: ``celery -A multiinstance``."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "multiinstance.settings")

app = Celery("multiinstance")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
