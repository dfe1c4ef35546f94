"""An instance's data to an archive, and back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deployers.backups import archive as tar
from deployers.backups.archive import Manifest
from deployers.backups.store import Archive
from deployers.databases.database import Database
from deployers.errors import ArchiveUnfit
from deployers.files import make_private_directory, remove_tree
from deployers.layout import InstancePaths
from deployers.parts import Parts
from deployers.plan import Log
from deployers.spec import InstanceSpec, VersionSpec

STAGING = "staging"
NEW_MEDIA = ".new"


def write_archive(parts: Parts, spec: InstanceSpec, archive: Archive, log: Log) -> None:
    """Back the instance up, which may run meanwhile: first the database at one moment, then the files that it names.

    Raises DatabaseUnusable, StoreFailed, SourceChanged, CommandFailed.
    """
    paths, databases = parts.layout.instance(spec.id), parts.database(spec)
    staging = paths.directory / STAGING
    remove_tree(staging)
    make_private_directory(staging)
    parts.separation.reclaim(paths.data)
    try:
        databases.dump(databases.instance(spec.id), staging / tar.DATABASE)
        with tar.writing(archive) as writer:
            writer.manifest(
                Manifest(
                    format=tar.FORMAT,
                    instance=spec.id,
                    slug=spec.slug,
                    domain=spec.domain,
                    version=spec.version.name,
                    release=parts.release(spec.version),
                    image=spec.version.image,
                    db=spec.db,
                    created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    event=spec.event.name,
                )
            )
            writer.file(tar.DATABASE, staging / tar.DATABASE)
            writer.file(tar.SETTINGS, paths.settings)
            count = writer.tree(tar.MEDIA, paths.media)
    finally:
        remove_tree(staging)
    facts = archive.store.facts(archive.name)
    size = facts.size if facts else 0
    log(f"{archive.name}: {size / 1e6:.1f} MB, {count} uploaded files.\n")


def read_archive(
    parts: Parts, spec: InstanceSpec, version: VersionSpec, archive: Archive, database: Database, log: Log
) -> Path:
    """Load the archive's database into ``database`` (what is there is replaced), and its uploaded files.

    The files are in the directory that is returned, beside the instance's own, whose place it can take by a rename.
    Nothing is loaded before the whole archive has been read and compared with its checksums. ``version`` is what the
    archive must have been made with.

    Raises ArchiveMissing, ArchiveDamaged, ArchiveUnfit, StoreFailed, DatabaseUnusable, CommandFailed.
    """
    paths, databases = parts.layout.instance(spec.id), parts.database(spec)
    refuse_unfit(parts, version, spec.db, archive)
    staging, media = paths.directory / STAGING, _new_media(paths)
    for directory in (staging, media):
        remove_tree(directory)
        make_private_directory(directory)
    parts.separation.writable(media)
    parts.separation.served(media)
    try:
        tar.extract(archive, staging, media)
        databases.load(staging / tar.DATABASE, database, spec.database_password)
    except BaseException:
        remove_tree(media)
        raise
    finally:
        remove_tree(staging)
    log(f"{archive.name} is read.\n")
    return media


def refuse_unfit(parts: Parts, version: VersionSpec, db: str, archive: Archive) -> Manifest:
    """Raises ArchiveUnfit: another kind of database, or another release of OpenSlides."""
    manifest = tar.read_manifest(archive)
    if manifest.db != db:
        raise ArchiveUnfit(archive.name, f"it holds a {manifest.db} database, and the instance has {db}")
    if manifest.release != parts.release(version):
        raise ArchiveUnfit(archive.name, f"it was made with OpenSlides {manifest.release}, not {version.name}")
    return manifest


def remove_unfinished(parts: Parts, spec: InstanceSpec) -> None:
    """What writing or reading an archive leaves when it is killed."""
    paths = parts.layout.instance(spec.id)
    remove_tree(paths.directory / STAGING)
    remove_tree(_new_media(paths))


def _new_media(paths: InstancePaths) -> Path:
    return paths.media.with_name(paths.media.name + NEW_MEDIA)


def place_media(media: Path, place: Path) -> None:
    """Let the directory take its place, and the one that is there go."""
    with suppress(FileNotFoundError):
        remove_tree(place)
    media.replace(place)
