"""The Django project of the control plane."""

from multiinstance.celery import app as celery_app

__all__ = ["celery_app"]
