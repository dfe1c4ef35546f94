"""Every setting that an operator can make, declared once.

``settings.py`` reads them from the environment or ``.env`` by these declarations, and
``manage.py settings_reference`` makes docs/settings.md of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

PROJECT_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. ``cast``: a type that django-environ knows (str, int, float, bool, list)."""

    name: str
    cast: type
    default: Any
    meaning: str
    default_text: str = ""
    """The default as the documentation shows it, where the value itself would not tell."""
    section: str = "General"
    least: float | None = None
    most: float | None = None


SETTINGS: Sequence[Setting] = (
    Setting(
        "DATA_DIR",
        str,
        str(PROJECT_DIR / "var"),
        "The directory that holds everything the product writes: database, instances, versions, logs. "
        "Keep it shorter than 80 characters; a unix socket lies in it.",
        "`var/` in the checkout",
    ),
    Setting(
        "ENV_FILE",
        str,
        str(PROJECT_DIR / ".env"),
        "A file with more settings, a line NAME=VALUE each. What stands in the process environment counts more. "
        "Only in the process environment.",
        "`.env` in the checkout",
    ),
    Setting(
        "DEPLOYMENT",
        str,
        "embedded",
        "`embedded`: this machine, one user, no root, everything under DATA_DIR. `systemd`: a production host.",
    ),
    Setting(
        "DEBUG", bool, False, "Django's debug mode: tracebacks in the browser. Never on a machine that others reach."
    ),
    Setting(
        "SECRET_KEY",
        str,
        "",
        "Signs sessions and links. At least 50 random characters.",
        "made at the first run, kept in `DATA_DIR/secrets.env` (mode 0600)",
        "Security",
    ),
    Setting(
        "FIELD_ENCRYPTION_KEYS",
        list,
        [],
        "Keys that encrypt the instances' passwords in the database: Fernet keys (32 bytes, URL-safe base64), "
        "separated by commas. The first encrypts, all decrypt. To rotate: put a new one in front, restart, run "
        "`manage.py rotate_encryption_key`, take the old one away.",
        "made at the first run, kept in `DATA_DIR/secrets.env` (mode 0600)",
        "Security",
    ),
    Setting(
        "ALLOWED_HOSTS",
        list,
        ["localhost", "127.0.0.1", "[::1]"],
        "Host names under which the control plane may be called, separated by commas.",
        section="Security",
    ),
    Setting(
        "CSRF_TRUSTED_ORIGINS",
        list,
        [],
        "Origins (with scheme) from which forms may be sent when a proxy ends TLS, e.g. `https://manage.example.org`.",
        section="Security",
    ),
    Setting(
        "SECURE_PROXY_SSL_HEADER",
        bool,
        False,
        "Trust `X-Forwarded-Proto` of the proxy in front. Only when that proxy always sets it.",
        section="Security",
    ),
    Setting(
        "BIND",
        str,
        "127.0.0.1",
        "Address on which `make run` serves the admin and the API.",
        section="Web",
    ),
    Setting(
        "PORT",
        int,
        5000,
        "Port on which `make run` serves the admin and the API.",
        section="Web",
        least=1,
        most=65535,
    ),
    Setting("WEB_THREADS", int, 8, "Requests that the web process answers at the same time.", section="Web", least=1),
    Setting(
        "LANGUAGE_CODE",
        str,
        "en",
        "Language where the browser asks for none that we have: `en` or `de`.",
        section="Web",
    ),
    Setting("TIME_ZONE", str, "Europe/Berlin", "Time zone of the admin pages and of new instances.", section="Web"),
    Setting(
        "ADMIN_PASSWORD",
        str,
        "",
        "Password of the account `admin` that the first `make run` makes.",
        "generated, printed once, kept in `DATA_DIR/admin-password` (mode 0600)",
        "Web",
    ),
    Setting(
        "DATABASE_URL",
        str,
        "",
        "The control plane's database: `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:///PATH`.",
        "SQLite, `DATA_DIR/db.sqlite3`",
        "Services",
    ),
    Setting(
        "BROKER_URL",
        str,
        "",
        "Celery's broker: `redis://…`, `amqp://…`.",
        "a folder, `DATA_DIR/broker`",
        "Services",
    ),
    Setting(
        "WORKER_THREADS",
        int,
        12,
        "Tasks that the worker runs at the same time. More than OPERATIONS_AT_ONCE, so that states are read while it "
        "is busy.",
        section="Operations",
        least=1,
    ),
    Setting(
        "OPERATIONS_AT_ONCE",
        int,
        4,
        "Operations that one host runs at the same time; more wait in the order in which they were asked for.",
        section="Operations",
        least=1,
    ),
    Setting(
        "REFRESH_SECONDS",
        float,
        4.0,
        "How often the states of a host's instances are read, in seconds.",
        section="Operations",
        least=0.1,
    ),
    Setting(
        "LEASE_SECONDS",
        float,
        30.0,
        "An operation whose worker has not been heard of for so many seconds is taken up by another one.",
        section="Operations",
        least=1,
    ),
    Setting(
        "ORPHAN_SECONDS",
        float,
        600.0,
        "How often hosts are searched for what belongs to no instance, in seconds.",
        section="Operations",
        least=1,
    ),
    Setting(
        "ORPHAN_DAYS",
        int,
        0,
        "What belongs to no instance is removed by itself after so many days. 0: only when somebody says so.",
        section="Operations",
        least=0,
    ),
    Setting(
        "AUDIT_KEEP_DAYS",
        int,
        0,
        "Days that the log of who did what is kept. 0: for ever.",
        section="Operations",
        least=0,
    ),
    Setting(
        "STATE_HISTORY_DAYS",
        int,
        400,
        "Days that the history of the instances' states is kept. 0: for ever.",
        section="Operations",
        least=0,
    ),
    Setting(
        "READY_TIMEOUT",
        float,
        60.0,
        "Seconds in which a started instance must answer over HTTP.",
        section="Operations",
        least=1,
    ),
    Setting(
        "PREPARE_TIMEOUT",
        float,
        900.0,
        "Seconds that a single command may take while a version is prepared.",
        section="Operations",
        least=1,
    ),
    Setting(
        "MIGRATE_TIMEOUT",
        float,
        600.0,
        "Seconds that OpenSlides' database migrations may take in an update.",
        section="Operations",
        least=1,
    ),
    Setting(
        "INSTANCE_PORTS",
        str,
        "23000-27999",
        "Loopback ports for instances of the embedded host, first and last. Keep clear of the ports that the system "
        "gives out (32768 and above).",
        section="Instances",
    ),
    Setting(
        "INSTANCE_MAIL_HOST",
        str,
        "localhost",
        "Mail relay that instances of the embedded host send through.",
        section="Instances",
    ),
    Setting("INSTANCE_MAIL_PORT", int, 25, "Port of that mail relay.", section="Instances"),
    Setting(
        "BACKUP_DIR",
        str,
        "",
        "The folder that holds the archives of backups: best on another disk. It must exist. With several hosts one "
        "that all of them, and the control plane, have mounted; or use S3.",
        "`DATA_DIR/backups`",
        "Backups",
    ),
    Setting(
        "BACKUP_S3_BUCKET",
        str,
        "",
        "Keep backups in this bucket of an S3-compatible store and not in BACKUP_DIR. It must exist.",
        "(none)",
        "Backups",
    ),
    Setting(
        "BACKUP_S3_ENDPOINT",
        str,
        "",
        "Address of that store, e.g. `https://s3.example.org`.",
        "Amazon S3",
        "Backups",
    ),
    Setting("BACKUP_S3_REGION", str, "", "Region of the bucket.", "boto3's default", "Backups"),
    Setting(
        "BACKUP_S3_PREFIX",
        str,
        "",
        "What the names of the archives begin with in the bucket, when others use it, too.",
        "(none)",
        "Backups",
    ),
    Setting(
        "BACKUP_S3_ACCESS_KEY",
        str,
        "",
        "Access key of an account that may list, read, write and delete objects of that bucket, and end unfinished "
        "uploads.",
        "what boto3 finds: its own variables, files, the machine's role",
        "Backups",
    ),
    Setting("BACKUP_S3_SECRET_KEY", str, "", "Secret key of that account.", "as above", "Backups"),
    Setting(
        "BACKUP_KEEP_COUNT",
        int,
        14,
        "So many scheduled backups of an instance are kept, the newest ones.",
        section="Backups",
        least=1,
    ),
    Setting(
        "BACKUP_KEEP_DAYS",
        float,
        30.0,
        "Days after which backups go away that were made by schedule, before an update or a restore, and for a clone. "
        "The newest good one of an instance stays however old it is; so do those that somebody asked for.",
        section="Backups",
        least=0.01,
    ),
    Setting(
        "REMOVED_KEEP_DAYS",
        float,
        30.0,
        "Days in which a removed instance can be brought back: so long its last backup is kept.",
        section="Backups",
        least=0,
    ),
    Setting(
        "BACKUP_VERIFY_HOURS",
        float,
        24.0,
        "Every so many hours one backup is restored into a database that nobody uses and read, the one for which that "
        "was longest ago. 0: never.",
        section="Backups",
        least=0,
    ),
    Setting(
        "BACKUPS_AT_ONCE",
        int,
        2,
        "Scheduled backups that wait or run on one host at the same time.",
        section="Backups",
        least=1,
    ),
    Setting(
        "ENGINES",
        list,
        ["podman"],
        "Engines of a production host, separated by commas: `podman`, `rkt`.",
        section="Production host",
    ),
    Setting(
        "INSTANCE_REDIS_URL",
        str,
        "",
        "Redis for the instances of a production host: `redis+socket://USER:PASSWORD@/PATH`. The user must be allowed "
        "to make others (ACL).",
        "BROKER_URL",
        "Production host",
    ),
    Setting(
        "PODMAN_HOME",
        str,
        "/srv/openslides/home",
        "HOME of the service user, for podman.",
        section="Production host",
    ),
    Setting(
        "PODMAN_RUNTIME",
        str,
        "/run/openslides/podman",
        "XDG_RUNTIME_DIR for podman. No user's D-Bus may be in it: podman would move containers out of their units.",
        section="Production host",
    ),
    Setting(
        "PODMAN_CGROUPS",
        str,
        "disabled",
        "`podman run --cgroups=`. `disabled`: a container stays in its unit's cgroup, whose limits hold.",
        section="Production host",
    ),
    Setting(
        "PODMAN_OPTIONS",
        list,
        [],
        "More options of `podman run` for every container, separated by commas, like `--ulimit=nofile=4096:4096`.",
        section="Production host",
    ),
)


def read_settings() -> dict[str, Any]:
    """Every setting by name, from the process environment, then the file ENV_FILE, then its default.

    Raises ImproperlyConfigured with the variable's name and meaning when a value is not of its type, or out of range.
    """
    env = environ.Env()
    env_file = Path(env.get_value("ENV_FILE", cast=str, default=str(PROJECT_DIR / ".env")))
    if env_file.is_file():
        env.read_env(str(env_file))
    values = {}
    for setting in SETTINGS:
        try:
            values[setting.name] = env.get_value(setting.name, cast=setting.cast, default=setting.default)
        except (ValueError, TypeError):
            raise ImproperlyConfigured(
                f"The setting {setting.name} is {env.ENVIRON.get(setting.name)!r}, which is not a valid "
                f"{setting.cast.__name__}. {setting.meaning}"
            ) from None
        refuse_out_of_range(setting, values[setting.name])
    return values


def refuse_out_of_range(setting: Setting, value: Any) -> None:
    """Raises ImproperlyConfigured."""
    if setting.least is not None and value < setting.least:
        raise ImproperlyConfigured(
            f"The setting {setting.name} is {value}. It must be at least {setting.least:g}. {setting.meaning}"
        )
    if setting.most is not None and value > setting.most:
        raise ImproperlyConfigured(
            f"The setting {setting.name} is {value}. It must be at most {setting.most:g}. {setting.meaning}"
        )
