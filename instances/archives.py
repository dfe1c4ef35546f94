"""Where the archives of backups are kept."""

from __future__ import annotations

from django.conf import settings

from deployers.backups.store import BackupStore


def store() -> BackupStore:
    """The backup store that the settings name."""
    from deployers.backups.folder import FolderStore

    return FolderStore(settings.DATA_DIR / "backups")
