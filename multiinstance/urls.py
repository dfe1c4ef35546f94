"""Addresses of the control plane."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

from instances.api.views.base import APIRoot

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("language/", set_language, name="set_language"),
    path("api", APIRoot.as_view()),
    path("api/", include("instances.api.urls")),
]

handler400 = "instances.api.handlers.bad_request"
handler403 = "instances.api.handlers.permission_denied"
handler404 = "instances.api.handlers.page_not_found"
handler500 = "instances.api.handlers.server_error"
