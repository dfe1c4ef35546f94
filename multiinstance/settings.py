"""Django settings. What an operator can set is declared in :mod:`multiinstance.configuration`."""

from __future__ import annotations

import os
import sys
import zoneinfo
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from multiinstance import secret_file
from multiinstance.configuration import PROJECT_DIR, read_settings
from multiinstance.theme import UNFOLD  # noqa: F401 (a setting, too)

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
