"""Django settings. What an operator can set is declared in :mod:`multiinstance.configuration`."""

from __future__ import annotations

import os
import sys
import zoneinfo
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from multiinstance import secret_file
from multiinstance.configuration import PROJECT_DIR, read_settings

_values = read_settings()

BASE_DIR = PROJECT_DIR
DATA_DIR = Path(_values["DATA_DIR"] or PROJECT_DIR / "var").expanduser().absolute()
DEPLOYMENT: str = _values["DEPLOYMENT"]
if DEPLOYMENT not in ("embedded", "systemd"):
    raise ImproperlyConfigured(f"DEPLOYMENT is {DEPLOYMENT!r}. Use 'embedded' or 'systemd'.")

try:
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    _why = "" if os.access(DATA_DIR, os.W_OK | os.X_OK) else "Permission denied"
except OSError as _error:
    _why = str(_error.strerror)
if _why:
    raise ImproperlyConfigured(
        f"DATA_DIR ({DATA_DIR}) cannot be written: {_why}. Choose another: DATA_DIR=/path make run"
    )

# Security

DEBUG: bool = _values["DEBUG"]
SECRET_KEY: str = _values["SECRET_KEY"]
FIELD_ENCRYPTION_KEYS: list[str] = _values["FIELD_ENCRYPTION_KEYS"]
if not SECRET_KEY or not FIELD_ENCRYPTION_KEYS:
    _secrets = secret_file.load_or_create(DATA_DIR)
    SECRET_KEY = SECRET_KEY or _secrets["SECRET_KEY"]
    FIELD_ENCRYPTION_KEYS = FIELD_ENCRYPTION_KEYS or _secrets["FIELD_ENCRYPTION_KEYS"].split(",")
ALLOWED_HOSTS: list[str] = _values["ALLOWED_HOSTS"]
CSRF_TRUSTED_ORIGINS: list[str] = _values["CSRF_TRUSTED_ORIGINS"]
if _values["SECURE_PROXY_SSL_HEADER"]:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
BIND: str = _values["BIND"]
PORT: int = _values["PORT"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = DEPLOYMENT == "systemd"
# Instances on other ports of the same host name share cookies with the control plane; own names keep them apart.
SESSION_COOKIE_NAME = "multiinstance_session"
CSRF_COOKIE_NAME = "multiinstance_csrf"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# API clients of the seed send HTTP Basic with every request, so the hash is computed for each of them.
PASSWORD_HASHERS = [
    "multiinstance.hashers.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Application

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_json_api",
    "knox",
    "django_filters",
    "auditlog",
    "instances",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "instances.audit.AuditMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "multiinstance.urls"
WSGI_APPLICATION = "multiinstance.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# The seed's client calls without a trailing slash, others with one: the API's router takes both.
APPEND_SLASH = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Database

_database_url = _values["DATABASE_URL"] or f"sqlite:///{DATA_DIR / 'db.sqlite3'}"
_not_a_database = ImproperlyConfigured(
    # Without the value, which holds a password.
    "DATABASE_URL is not the address of a database. Write postgres://USER:PASSWORD@HOST/NAME or sqlite:///PATH."
)
if not _database_url.startswith(("postgres://", "postgresql://", "sqlite:///")):
    raise _not_a_database
try:
    DATABASES: dict[str, dict[str, Any]] = {"default": environ.Env.db_url_config(_database_url)}
except ValueError:
    raise _not_a_database from None
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        # sqlite.org/wal.html: readers do not wait for the writer; IMMEDIATE takes the write lock at BEGIN, so that
        # two writers queue (for `timeout` seconds) and neither fails half way.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
    # A file, as in real life, and not shared memory, where two threads lock each other out.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# Celery

BROKER_FOLDER = DATA_DIR / "broker"
CELERY_BROKER_URL: str = _values["BROKER_URL"] or "filesystem://localhost"
if CELERY_BROKER_URL.startswith("filesystem:"):
    # Kombu makes the control folder in it, but not the folder itself.
    BROKER_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT = "multiinstance.broker:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_FOLDER),
        "data_folder_out": str(BROKER_FOLDER),
        "control_folder": str(BROKER_FOLDER / "control"),
        "polling_interval": 0.05,
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "multiinstance.beat:SteadyScheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")
# A message expires at a moment of the sender's clock, which is another machine's clock some seconds sooner or later. So
# what is sent every few seconds has a minute: that many more of it do no harm, and none would leave a host alone.
LOOK_EXPIRES_SECONDS: float = max(60.0, _values["REFRESH_SECONDS"])
CELERY_BEAT_SCHEDULE = {
    "look after hosts": {
        "task": "instances.look_after_hosts",
        "schedule": _values["REFRESH_SECONDS"],
        "options": {"expires": LOOK_EXPIRES_SECONDS},
    },
    "advance rollouts": {
        "task": "instances.advance_rollouts",
        "schedule": 3.0,
        "options": {"expires": 60.0},
    },
    "forget what is old": {"task": "instances.forget_what_is_old", "schedule": 86_400.0},
    "look for orphans": {
        "task": "instances.look_for_orphans",
        "schedule": _values["ORPHAN_SECONDS"],
        "options": {"expires": _values["ORPHAN_SECONDS"]},
    },
    "look after backups": {"task": "instances.look_after_backups", "schedule": 60.0, "options": {"expires": 60.0}},
}
WORKER_THREADS: int = _values["WORKER_THREADS"]
WEB_THREADS: int = _values["WEB_THREADS"]

# Operations and instances

OPERATIONS_AT_ONCE: int = _values["OPERATIONS_AT_ONCE"]
REFRESH_SECONDS: float = _values["REFRESH_SECONDS"]
LEASE_SECONDS: float = _values["LEASE_SECONDS"]
ORPHAN_SECONDS: float = _values["ORPHAN_SECONDS"]
ORPHAN_DAYS: int = _values["ORPHAN_DAYS"]
AUDIT_KEEP_DAYS: int = _values["AUDIT_KEEP_DAYS"]
STATE_HISTORY_DAYS: int = _values["STATE_HISTORY_DAYS"]
READY_TIMEOUT: float = _values["READY_TIMEOUT"]
PREPARE_TIMEOUT: float = _values["PREPARE_TIMEOUT"]
MIGRATE_TIMEOUT: float = _values["MIGRATE_TIMEOUT"]
INSTANCE_MAIL_HOST: str = _values["INSTANCE_MAIL_HOST"]
INSTANCE_MAIL_PORT: int = _values["INSTANCE_MAIL_PORT"]
ENGINES: list[str] = _values["ENGINES"]
if unknown := set(ENGINES) - {"podman", "rkt"}:
    raise ImproperlyConfigured(f"ENGINES names {', '.join(sorted(unknown))}. Known are podman and rkt.")
INSTANCE_REDIS_URL: str = _values["INSTANCE_REDIS_URL"] or CELERY_BROKER_URL
PODMAN_HOME: str = _values["PODMAN_HOME"]
PODMAN_RUNTIME: str = _values["PODMAN_RUNTIME"]
PODMAN_CGROUPS: str = _values["PODMAN_CGROUPS"]
PODMAN_OPTIONS: list[str] = _values["PODMAN_OPTIONS"]
ADMIN_PASSWORD: str = _values["ADMIN_PASSWORD"]
try:
    _first, _last = (int(port) for port in _values["INSTANCE_PORTS"].split("-"))
except ValueError:
    raise ImproperlyConfigured(
        f"INSTANCE_PORTS is {_values['INSTANCE_PORTS']!r}. Write the first and the last port, like 23000-27999."
    ) from None
if not 1024 <= _first <= _last <= 65535:
    raise ImproperlyConfigured("INSTANCE_PORTS must lie between 1024 and 65535, the first not above the last.")
INSTANCE_PORTS = range(_first, _last + 1)

# Backups

BACKUP_DIR = Path(_values["BACKUP_DIR"] or DATA_DIR / "backups").expanduser().absolute()
BACKUP_DIR_IS_GIVEN = bool(_values["BACKUP_DIR"])
BACKUP_S3_BUCKET: str = _values["BACKUP_S3_BUCKET"]
BACKUP_S3_ENDPOINT: str = _values["BACKUP_S3_ENDPOINT"]
BACKUP_S3_REGION: str = _values["BACKUP_S3_REGION"]
BACKUP_S3_PREFIX: str = _values["BACKUP_S3_PREFIX"]
BACKUP_S3_ACCESS_KEY: str = _values["BACKUP_S3_ACCESS_KEY"]
BACKUP_S3_SECRET_KEY: str = _values["BACKUP_S3_SECRET_KEY"]
BACKUP_KEEP_COUNT: int = _values["BACKUP_KEEP_COUNT"]
BACKUP_KEEP_DAYS: float = _values["BACKUP_KEEP_DAYS"]
REMOVED_KEEP_DAYS: float = _values["REMOVED_KEEP_DAYS"]
BACKUP_VERIFY_HOURS: float = _values["BACKUP_VERIFY_HOURS"]
BACKUPS_AT_ONCE: int = _values["BACKUPS_AT_ONCE"]

# Languages, time, static files

LANGUAGE_CODE: str = _values["LANGUAGE_CODE"]
LANGUAGES = [("en", _("English")), ("de", _("German"))]
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(f"LANGUAGE_CODE is {LANGUAGE_CODE!r}. Use 'en' or 'de'.")
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE: str = _values["TIME_ZONE"]
try:
    zoneinfo.ZoneInfo(TIME_ZONE)
except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
    raise ImproperlyConfigured(f"TIME_ZONE is {TIME_ZONE!r}. Write a name like Europe/Berlin.") from None
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MEDIA_ROOT = DATA_DIR / "media"

# API

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "instances.api.errors.exception_handler",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "instances.api.authentication.BasicAuthentication",
        "instances.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["instances.api.permissions.StaffModelPermissions"],
    "DEFAULT_PARSER_CLASSES": [
        "instances.api.documents.JsonApiParser",
        "instances.api.documents.LegacyParser",
        "instances.api.documents.PlainJsonParser",
    ],
    "DEFAULT_RENDERER_CLASSES": [
        "instances.api.renderers.JsonApiRenderer",
        "instances.api.renderers.LegacyRenderer",
        "instances.api.renderers.PlainJsonRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "instances.api.renderers.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "instances.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "instances.api.filters.Filters",
        "instances.api.filters.Search",
        "instances.api.filters.Sorting",
    ],
    "DEFAULT_METADATA_CLASS": None,
    "SEARCH_PARAM": "filter[search]",
    "URL_FORMAT_OVERRIDE": None,
    # Not "url": that is an attribute of instances, their own address.
    "URL_FIELD_NAME": "self_link",
}
KNOX_TOKEN_MODEL = "instances.ApiToken"  # noqa: S105 - it names a model
REST_KNOX = {
    # RFC 6750
    "AUTH_HEADER_PREFIX": "Bearer",
    # By this a token that was published by mistake is found, by people and by scanners.
    "TOKEN_PREFIX": "osmi_",
}
# Its own would make a table for the model in whose place there is ours.
MIGRATION_MODULES = {"knox": None}

# The seed's attribute names have underscores.
JSON_API_FORMAT_FIELD_NAMES = False

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": sys.stderr}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {name: {"level": "INFO"} for name in ("instances", "deployers", "multiinstance")},
}

UNFOLD = {
    "SITE_TITLE": _("OpenSlides instances"),
    "SITE_HEADER": _("OpenSlides instances"),
    "SITE_SUBHEADER": _("Control plane"),
    "SITE_SYMBOL": "co_present",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("instances/icon.svg")},
    ],
    "SITE_URL": None,
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "instances.admin.dashboard.fill",
    "STYLES": [lambda request: static("instances/admin.css")],
    "SCRIPTS": [lambda request: static("instances/admin.js")],
    "COLORS": {
        # Every white text on 600 and 700 has a contrast of 4.5 and more (WCAG 2.1, 1.4.3).
        "primary": {
            "50": "oklch(97.2% .013 236)",
            "100": "oklch(94.4% .026 236)",
            "200": "oklch(89.4% .05 234)",
            "300": "oklch(82% .09 232)",
            "400": "oklch(74% .125 233)",
            "500": "oklch(63.5% .135 238)",
            "600": "oklch(52.5% .12 241)",
            "700": "oklch(46% .105 242)",
            "800": "oklch(40.5% .09 241)",
            "900": "oklch(35% .075 240)",
            "950": "oklch(27% .055 242)",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": _("Overview"), "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    {
                        "title": _("Instances"),
                        "icon": "co_present",
                        "link": reverse_lazy("admin:instances_instance_changelist"),
                        "permission": "instances.admin.permissions.instances",
                    },
                    {
                        "title": _("Operations"),
                        "icon": "checklist",
                        "link": reverse_lazy("admin:instances_operation_changelist"),
                        "permission": "instances.admin.permissions.operations",
                    },
                    {
                        "title": _("Updates of many"),
                        "icon": "upgrade",
                        "link": reverse_lazy("admin:instances_rollout_changelist"),
                        "permission": "instances.admin.permissions.rollouts",
                    },
                    {
                        "title": _("Backups"),
                        "icon": "archive",
                        "link": reverse_lazy("admin:instances_backup_changelist"),
                        "permission": "instances.admin.permissions.backups",
                    },
                ]
            },
            {
                "title": _("Set-up"),
                "separator": True,
                "items": [
                    {
                        "title": _("Versions"),
                        "icon": "deployed_code",
                        "link": reverse_lazy("admin:instances_version_changelist"),
                        "permission": "instances.admin.permissions.versions",
                    },
                    {
                        "title": _("Domains"),
                        "icon": "language",
                        "link": reverse_lazy("admin:instances_domain_changelist"),
                        "permission": "instances.admin.permissions.domains",
                    },
                    {
                        "title": _("Hosts"),
                        "icon": "dns",
                        "link": reverse_lazy("admin:instances_host_changelist"),
                        "permission": "instances.admin.permissions.hosts",
                    },
                    {
                        "title": _("Orphans"),
                        "icon": "inventory_2",
                        "link": reverse_lazy("admin:instances_orphan_changelist"),
                        "permission": "instances.admin.permissions.orphans",
                    },
                    {
                        "title": _("Locks"),
                        "icon": "lock",
                        "link": reverse_lazy("admin:instances_actionlock_changelist"),
                        "permission": "instances.admin.permissions.locks",
                    },
                    {
                        "title": _("Log"),
                        "icon": "history",
                        "link": reverse_lazy("admin:auditlog_logentry_changelist"),
                        "permission": "instances.admin.permissions.log",
                    },
                    {
                        "title": _("Logos"),
                        "icon": "image",
                        "link": reverse_lazy("admin:instances_blob_changelist"),
                        "permission": "instances.admin.permissions.logos",
                    },
                ],
            },
            {
                "title": _("Access"),
                "separator": True,
                "items": [
                    {
                        "title": _("Users"),
                        "icon": "person",
                        "link": reverse_lazy("admin:auth_user_changelist"),
                        "permission": "instances.admin.permissions.users",
                    },
                    {
                        "title": _("Groups"),
                        "icon": "group",
                        "link": reverse_lazy("admin:auth_group_changelist"),
                        "permission": "instances.admin.permissions.groups",
                    },
                    {
                        "title": _("API tokens"),
                        "icon": "key",
                        "link": reverse_lazy("admin:instances_apitoken_changelist"),
                        "permission": "instances.admin.permissions.tokens",
                    },
                ],
            },
        ],
    },
}
