"""The words that rows are described with."""

from __future__ import annotations

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """What is observed of an instance: the seed's words, then ours."""

    NEW = "new", _("new")
    INSTALLING = "installing", _("installing")
    INSTALLING_FAILED = "installing-failed", _("installation failed")
    ACTIVE = "active", _("active")
    ERROR = "error", _("error")
    STARTING = "starting", _("starting")
    SLEEPING = "sleeping", _("sleeping")
    STOPPED = "stopped", _("stopped")
    UPDATING = "updating", _("updating")
    UPDATE_FAILED = "update-failed", _("update failed")
    REMOVING = "removing", _("removing")
    UNKNOWN = "unknown", _("unknown")

    @property
    def badge(self) -> str:
        """The colour of the state's badge: success, info, warning, danger or an empty text for neutral."""
        return _STATE_BADGES[self]


_STATE_BADGES = {
    State.NEW: "",
    State.INSTALLING: "info",
    State.INSTALLING_FAILED: "danger",
    State.ACTIVE: "success",
    State.ERROR: "danger",
    State.STARTING: "info",
    State.SLEEPING: "info",
    State.STOPPED: "",
    State.UPDATING: "info",
    State.UPDATE_FAILED: "danger",
    State.REMOVING: "warning",
    State.UNKNOWN: "warning",
}


class Desired(TextChoices):
    """What the operator wants of an instance."""

    ACTIVE = "active", _("active")
    STOPPED = "stopped", _("stopped")
    REMOVED = "removed", _("removed")


class Mode(TextChoices):
    """How an instance is reached."""

    SUBDOMAIN = "subdomain", _("subdomain with TLS")
    SUBDOMAIN_NOSSL = "subdomain_nossl", _("subdomain without TLS")
    PATH = "path", _("path below the domain")


class Db(TextChoices):
    """Where an instance keeps its data."""

    SQLITE = "sqlite", "SQLite"
    POSTGRESQL = "postgresql", "PostgreSQL"


class Engine(TextChoices):
    """What runs OpenSlides."""

    VIRTUALENV = "virtualenv", "virtualenv (PyPI)"
    PODMAN = "podman", "podman"
    RKT = "rkt", "rkt"


class HostKind(TextChoices):
    """Which parts a host's deployer is put together from."""

    EMBEDDED = "embedded", _("embedded")
    SYSTEMD = "systemd", "systemd"


class Preparation(TextChoices):
    """How far a version is ready for use."""

    NONE = "none", _("not prepared")
    PREPARING = "preparing", _("being prepared")
    PREPARED = "prepared", _("prepared")
    FAILED = "failed", _("preparation failed")

    @property
    def badge(self) -> str:
        """The colour of the badge, as in :attr:`State.badge`."""
        return {"none": "", "preparing": "info", "prepared": "success", "failed": "danger"}[self.value]


class OperationKind(TextChoices):
    """What can be asked for."""

    CREATE = "create", _("create")
    START = "start", _("start")
    STOP = "stop", _("stop")
    UPDATE = "update", _("update")
    REMOVE = "remove", _("remove")
    PREPARE = "prepare", _("prepare")
    MAIL = "mail", _("test mail")
    BACKUP = "backup", _("backup")
    RESTORE = "restore", _("restore")
    VERIFY = "verify", _("verify a backup")
    PURGE = "purge", _("purge")


LOCKABLE = (
    OperationKind.START,
    OperationKind.STOP,
    OperationKind.UPDATE,
    OperationKind.REMOVE,
    OperationKind.BACKUP,
    OperationKind.RESTORE,
)
"""What can be locked on an instance, one by one."""


class Outcome(TextChoices):
    """How far an operation is. One that is postponed does not keep others from running."""

    POSTPONED = "postponed", _("postponed")
    QUEUED = "queued", _("waiting")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")

    @property
    def badge(self) -> str:
        """The colour of the badge, as in :attr:`State.badge`."""
        return _OUTCOME_BADGES[self]

    @property
    def is_final(self) -> bool:
        return self in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)


_OUTCOME_BADGES = {
    Outcome.POSTPONED: "",
    Outcome.QUEUED: "",
    Outcome.RUNNING: "info",
    Outcome.SUCCEEDED: "success",
    Outcome.FAILED: "danger",
    Outcome.CANCELLED: "warning",
}


class StepStatus(TextChoices):
    """How far one step of an operation is."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    UNDONE = "undone", _("undone")


class Origin(TextChoices):
    """By which way an operation was asked for."""

    ADMIN = "admin", _("admin page")
    API = "api", "API"
    COMMAND = "command", _("command line")
    SYSTEM = "system", _("the system itself")


class BackupReason(TextChoices):
    """Why a backup was made; it decides how long it is kept."""

    MANUAL = "manual", _("asked for")
    SCHEDULED = "scheduled", _("scheduled")
    UPDATE = "update", _("before an update")
    RESTORE = "restore", _("before a restore")
    REMOVE = "remove", _("before the removal")
    CLONE = "clone", _("for a clone")


class BackupInterval(IntegerChoices):
    """How often an instance is backed up by itself, in hours."""

    NEVER = 0, _("never")
    SIX_HOURS = 6, _("every 6 hours")
    TWELVE_HOURS = 12, _("every 12 hours")
    DAILY = 24, _("daily")
    WEEKLY = 168, _("weekly")


class RolloutStatus(TextChoices):
    """How far the update of many instances is."""

    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")
    FINISHED = "finished", _("finished")
    CANCELLED = "cancelled", _("cancelled")

    @property
    def badge(self) -> str:
        """The colour of the badge, as in :attr:`State.badge`."""
        return {"running": "info", "stopped": "danger", "finished": "success", "cancelled": "warning"}[self.value]


class RolloutItemStatus(TextChoices):
    """How far one instance of such an update is."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    UPDATED = "updated", _("updated")
    FAILED = "failed", _("failed")
    SKIPPED = "skipped", _("skipped")

    @property
    def badge(self) -> str:
        """The colour of the badge, as in :attr:`State.badge`."""
        return {"waiting": "", "running": "info", "updated": "success", "failed": "danger", "skipped": "warning"}[
            self.value
        ]


class TokenState(TextChoices):
    """Whether somebody can sign in with an API token."""

    VALID = "valid", _("valid")
    EXPIRED = "expired", _("expired")
    LOCKED_OUT = "locked_out", _("user without access")

    @property
    def badge(self) -> str:
        """The colour of the badge, as in :attr:`State.badge`."""
        return {"valid": "success", "expired": "warning", "locked_out": "danger"}[self.value]


class OrphanKind(TextChoices):
    """What can be on a host without an instance that owns it."""

    DIRECTORY = "directory", _("directory")
    DATABASE = "database", _("database")
    ROLE = "role", _("database account")
    SERVICE = "service", _("service")
    CONTAINER = "container", _("container")
    CACHE_USER = "cache_user", _("Redis account")
    ADDRESS = "address", _("address")
    BACKUP = "backup", _("backup file")
