"""Where the archives of backups are kept: a folder, or an S3-compatible store."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from deployers.backups.folder import FolderStore
from deployers.backups.store import BackupStore
from deployers.errors import StoreFailed

MEMORY = "backup-folder"
"""In DATA_DIR: which BACKUP_DIR was used."""
MISSING_LIBRARY = (
    "BACKUP_S3_BUCKET is set, but django-storages with boto3 is not installed. Install it: "
    ".venv/bin/pip install -r requirements/production.txt"
)


def store() -> BackupStore:
    """The backup store that the settings name. Raises StoreFailed when its library is not installed."""
    if not settings.BACKUP_S3_BUCKET:
        # The one below DATA_DIR is ours to make; another one may be a disk's, which is not always there.
        memory = settings.DATA_DIR / MEMORY if settings.BACKUP_DIR_IS_GIVEN else None
        return FolderStore(settings.BACKUP_DIR, memory)
    return _s3_store(
        settings.BACKUP_S3_BUCKET,
        settings.BACKUP_S3_PREFIX,
        settings.BACKUP_S3_ENDPOINT,
        settings.BACKUP_S3_REGION,
        settings.BACKUP_S3_ACCESS_KEY,
        settings.BACKUP_S3_SECRET_KEY,
    )


@lru_cache(maxsize=4)
def _s3_store(*values: str) -> BackupStore:
    """One for all: it takes boto3 some tenths of a second to make a connection. Raises StoreFailed."""
    try:
        from instances.archives_s3 import S3Store, bucket
    except ImportError:
        raise StoreFailed(MISSING_LIBRARY) from None
    return S3Store(bucket(*values))
