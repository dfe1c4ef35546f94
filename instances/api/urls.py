"""Addresses of the API, each with and without a trailing slash."""

from __future__ import annotations

from typing import Any

from django.urls import re_path

from instances.api.views.attention import TryAgainView
from instances.api.views.audit import AuditView
from instances.api.views.backups import (
    ArchiveView,
    BackupCloneView,
    BackupView,
    BringBackView,
    CloneView,
    PurgeView,
    RestoreView,
    VerifyView,
)
from instances.api.views.base import APIRoot, NotFoundView
from instances.api.views.blobs import PictureView, UploadView
from instances.api.views.domains import DomainView
from instances.api.views.history import AvailabilityView, HistoryView
from instances.api.views.hosts import HostView
from instances.api.views.instances import InstanceView
from instances.api.views.locks import LockView
from instances.api.views.operations import OperationView
from instances.api.views.orphans import OrphanView
from instances.api.views.rollouts import RolloutView
from instances.api.views.versions import PrepareView, VersionView

app_name = "api"

READ_LIST: dict[str, Any] = {"get": "list"}
READ_ONE: dict[str, Any] = {"get": "retrieve"}
WRITE_LIST: dict[str, Any] = {**READ_LIST, "post": "create"}
WRITE_ONE: dict[str, Any] = {**READ_ONE, "patch": "partial_update", "delete": "destroy"}
KEPT_ONE: dict[str, Any] = {**READ_ONE, "delete": "destroy"}

urlpatterns = [
    re_path(r"^$", APIRoot.as_view(), name="root"),
    re_path(r"^instances/?$", InstanceView.as_view(WRITE_LIST), name="instance-list"),
    re_path(r"^instances/(?P<pk>[^/]+)/?$", InstanceView.as_view(WRITE_ONE), name="instance-detail"),
    re_path(r"^instances/(?P<pk>[^/]+)/clone/?$", CloneView.as_view({"post": "clone"}), name="instance-clone"),
    re_path(
        r"^instances/(?P<pk>[^/]+)/bring-back/?$",
        BringBackView.as_view({"post": "bring_back"}),
        name="instance-bring-back",
    ),
    re_path(r"^instances/(?P<pk>[^/]+)/purge/?$", PurgeView.as_view({"post": "purge"}), name="instance-purge"),
    re_path(
        r"^instances/(?P<pk>[^/]+)/try-again/?$", TryAgainView.as_view({"post": "try_again"}), name="instance-try-again"
    ),
    re_path(r"^instances/(?P<instance>[^/]+)/history/?$", HistoryView.as_view(READ_LIST), name="instance-history"),
    re_path(
        r"^instances/(?P<pk>[^/]+)/availability/?$",
        AvailabilityView.as_view({"get": "show"}),
        name="instance-availability",
    ),
    re_path(r"^backups/?$", BackupView.as_view(WRITE_LIST), name="backup-list"),
    re_path(r"^backups/(?P<pk>[^/]+)/?$", BackupView.as_view(KEPT_ONE), name="backup-detail"),
    re_path(r"^backups/(?P<pk>[^/]+)/archive/?$", ArchiveView.as_view(), name="backup-archive"),
    re_path(r"^backups/(?P<pk>[^/]+)/restore/?$", RestoreView.as_view({"post": "restore"}), name="backup-restore"),
    re_path(r"^backups/(?P<pk>[^/]+)/verify/?$", VerifyView.as_view({"post": "verify"}), name="backup-verify"),
    re_path(r"^backups/(?P<pk>[^/]+)/clone/?$", BackupCloneView.as_view({"post": "clone"}), name="backup-clone"),
    re_path(r"^osversions/?$", VersionView.as_view(WRITE_LIST), name="version-list"),
    re_path(r"^osversions/(?P<pk>[^/]+)/?$", VersionView.as_view(WRITE_ONE), name="version-detail"),
    re_path(r"^osversions/(?P<pk>[^/]+)/prepare/?$", PrepareView.as_view({"post": "prepare"}), name="version-prepare"),
    re_path(r"^osdomains/?$", DomainView.as_view(WRITE_LIST), name="domain-list"),
    re_path(r"^osdomains/(?P<pk>[^/]+)/?$", DomainView.as_view(WRITE_ONE), name="domain-detail"),
    re_path(r"^operations/?$", OperationView.as_view({**READ_LIST, "post": "create"}), name="operation-list"),
    re_path(
        r"^operations/(?P<pk>[^/]+)/?$",
        OperationView.as_view({**READ_ONE, "patch": "partial_update"}),
        name="operation-detail",
    ),
    re_path(r"^rollouts/?$", RolloutView.as_view(WRITE_LIST), name="rollout-list"),
    re_path(
        r"^rollouts/(?P<pk>[^/]+)/?$",
        RolloutView.as_view({**READ_ONE, "patch": "partial_update"}),
        name="rollout-detail",
    ),
    re_path(r"^locks/?$", LockView.as_view({**READ_LIST, "post": "create"}), name="lock-list"),
    re_path(r"^locks/(?P<pk>[^/]+)/?$", LockView.as_view(KEPT_ONE), name="lock-detail"),
    re_path(r"^orphans/?$", OrphanView.as_view(READ_LIST), name="orphan-list"),
    re_path(r"^orphans/(?P<pk>[^/]+)/?$", OrphanView.as_view(KEPT_ONE), name="orphan-detail"),
    re_path(r"^audit/?$", AuditView.as_view(READ_LIST), name="audit-list"),
    re_path(r"^audit/(?P<pk>[^/]+)/?$", AuditView.as_view(READ_ONE), name="audit-detail"),
    re_path(r"^hosts/?$", HostView.as_view(READ_LIST), name="host-list"),
    re_path(r"^hosts/(?P<pk>[^/]+)/?$", HostView.as_view(READ_ONE), name="host-detail"),
    re_path(r"^blobs/?$", UploadView.as_view(), name="blob-list"),
    re_path(r"^blobs/(?P<pk>[^/]+)/?$", PictureView.as_view(), name="blob-detail"),
    re_path(r"", NotFoundView.as_view(), name="not-found"),
]
