"""What is truly the same in OpenSlides 2 and 3. Source: its own sources, 2.1 to 3.3."""

from __future__ import annotations

import json

from deployers.databases.database import Update
from deployers.openslides.profile import LOCAL_ADMIN_ID, SUPERADMIN_ID, Login, RedisAccess, Surroundings
from deployers.rendering import render
from deployers.spec import Event

GROUP_TABLE = "auth_group"
USER_TABLE = "users_user"
CONFIG_TABLE = "core_configstore"

EVENT_KEYS = ("general_event_name", "general_event_description", "general_event_date", "general_event_location")

INSIDE = "openslides_host"
"""The package that containers may import, ``inside/``."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        # Without propagation: daphne has a handler for all, and each line would come twice.
        name: {"handlers": ["console"], "level": "INFO", "propagate": False}
        for name in ("django", "openslides")
    },
}


KEPT_TABLES = (
    "users_user",
    "agenda_item",
    "topics_topic",
    "motions_motion",
    "motions_category",
    "motions_workflow",
    "assignments_assignment",
    "mediafiles_mediafile",
)
"""In every OpenSlides from 2.1 to 3.3 (their migrations)."""


def manage(*arguments: str) -> tuple[str, ...]:
    """A management command."""
    return ("-m", "django", *arguments)


def render_settings(
    major: int, surroundings: Surroundings, own: dict[str, object], redis_app: str | None = None
) -> str:
    """settings.py: what both majors have, then ``own``. ``redis_app``: an app that is needed where there is Redis.

    The session cookie has a name of its own per instance, because browsers keep cookies by host and
    not by port: two instances on one loopback address would log each other's users out. The CSRF
    cookie must keep its name: the client has it built in.
    """
    values: dict[str, object] = {
        "DEBUG": False,
        "SECRET_KEY": surroundings.secret_key,
        "ALLOWED_HOSTS": surroundings.hosts,
        "DATABASES": {"default": surroundings.database},
        "MEDIA_ROOT": f"{surroundings.media}/",
        "STATIC_ROOT": surroundings.static_root,
        "TIME_ZONE": surroundings.time_zone,
        "SESSION_COOKIE_NAME": f"OpenSlidesSessionID{surroundings.cookie_suffix}",
        "LOGGING": LOGGING,
    }
    if surroundings.redis is not None:
        values |= _redis(surroundings.redis)
    if surroundings.mail_host is not None:
        values |= {"EMAIL_HOST": surroundings.mail_host, "EMAIL_PORT": surroundings.mail_port}
    if surroundings.mail_socket is not None:
        values |= {"EMAIL_BACKEND": f"{INSIDE}.mail.EmailBackend", "EMAIL_UNIX_SOCKET": surroundings.mail_socket}
    if surroundings.mail_from is not None:
        values["DEFAULT_FROM_EMAIL"] = surroundings.mail_from
    if surroundings.secure_cookies:
        values |= {"SESSION_COOKIE_SECURE": True, "CSRF_COOKIE_SECURE": True}
    middleware: list[str] = []
    if surroundings.accelerated_media:
        middleware.append(f"{INSIDE}.media.Accelerated")
        # Large uploads come from a temporary file that is its owner's only; nginx reads by the directory's acl(5).
        values["FILE_UPLOAD_PERMISSIONS"] = 0o660
        # nginx ends TLS, and always says how it was asked.
        values["SECURE_PROXY_SSL_HEADER"] = ("HTTP_X_FORWARDED_PROTO", "https")
    return render(
        "openslides_settings.py.j2",
        major=major,
        settings=values | own,
        own_static=surroundings.own_static,
        middleware=middleware,
        apps=[redis_app] if redis_app is not None and surroundings.redis is not None else [],
    )


def _redis(access: RedisAccess) -> dict[str, object]:
    """Sessions and Django's cache in Redis. Everything else of it is in ``inside/openslides_host/redis_client.py``."""

    def cache(prefix: str, function: str) -> dict[str, object]:
        return {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"unix://{access.socket}",
            "KEY_PREFIX": prefix,
            "KEY_FUNCTION": f"{INSIDE}.redis_client.{function}",
        }

    return {
        "HOST_REDIS": {
            "socket": access.socket,
            "username": access.username,
            "password": access.password,
            "prefix": access.prefix,
        },
        "DJANGO_REDIS_CONNECTION_FACTORY": f"{INSIDE}.redis_client.ConnectionFactory",
        "CACHES": {"default": cache("cache", "cached_name"), "sessions": cache("session", "session_name")},
        "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
        "SESSION_CACHE_ALIAS": "sessions",
    }


def account_rows(superadmin_password: str, admin: Login) -> tuple[Update, ...]:
    """``default_password`` is shown in clear to everybody who may manage users, so it is emptied."""
    return (
        Update(USER_TABLE, {"password": superadmin_password, "default_password": ""}, {"id": SUPERADMIN_ID}),
        Update(
            USER_TABLE,
            {
                "username": admin.username,
                "first_name": admin.first_name,
                "last_name": admin.last_name,
                "password": admin.password,
                "default_password": "",
            },
            {"id": LOCAL_ADMIN_ID},
        ),
    )


def config_row(key: str, value: object) -> Update:
    """One configuration value; OpenSlides keeps them as JSON text."""
    return Update(CONFIG_TABLE, {"value": json.dumps(value)}, {"key": key})


def event_rows(event: Event) -> tuple[Update, ...]:
    """All four, also empty ones: OpenSlides' defaults are texts about OpenSlides itself."""
    values = (event.name, event.description, event.date, event.location)
    return tuple(config_row(key, value) for key, value in zip(EVENT_KEYS, values, strict=True))
