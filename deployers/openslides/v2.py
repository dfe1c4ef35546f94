"""OpenSlides 2.1 to 2.3: Channels 1, Django 1.11 and 2.1."""

from __future__ import annotations

from deployers.databases.database import Update
from deployers.openslides import shared
from deployers.openslides.profile import Login, Logo, Surroundings
from deployers.routers.address import Address, UnixAddress
from deployers.spec import Event

CHANNEL_CAPACITY = 1000
"""Messages that may wait in a channel, as in OpenSlides' own settings (global_settings.py)."""


class OpenSlides2:
    """At a TCP address one process: runserver with the in-memory channel layer. At a unix socket daphne, which passes
    requests on to workers by Redis.

    To the server go the paths ``/rest/``, ``/media/``, ``/webclient/``, ``/ws/``, ``/core/…``, ``/users/…`` and others
    (urls.py of its apps); ``/static/`` is files; all else is index.html.
    """

    major = 2
    lives_under_prefix = False
    media_url = "/media/"
    version_path = "/core/version/"
    login_path = "/login/"
    server_time_path = "/core/servertime/"
    kept_tables = shared.KEPT_TABLES
    admin_groups = ("Admin", "Staff")  # 2.1 has no Admin; its Staff may do everything
    # core/static/templates/projector.html shows this file unless the instance's users choose another.
    logo = Logo("img/logo-projector.png")
    volatile_tables = ("django_session",)

    def settings(self, surroundings: Surroundings) -> str:
        own: dict[str, object] = {"OPENSLIDES_USER_DATA_PATH": surroundings.data}
        if surroundings.redis is not None:
            prefix = surroundings.redis.prefix
            config = {"prefix": f"{prefix}asgi:", "stats_prefix": f"{prefix}asgi-meta:", "capacity": CHANNEL_CAPACITY}
            own["CHANNEL_LAYERS"] = {
                "default": {
                    "BACKEND": f"{shared.INSIDE}.channels1.RedisChannelLayer",
                    "ROUTING": "openslides.routing.channel_routing",
                    "CONFIG": config,
                }
            }
            # What each user may see, kept for each: OpenSlides empties it by asking Redis for the names of all keys,
            # which an instance's account may not.
            own["DISABLE_USER_CACHE"] = True
        return shared.render_settings(self.major, surroundings, own)

    def needs_redis(self, address: Address, workers: int) -> bool:
        return isinstance(address, UnixAddress)

    def serve(self, address: Address, workers: int = 1) -> tuple[str, ...]:
        if isinstance(address, UnixAddress):
            return ("-m", f"{shared.INSIDE}.serve2", str(address.path), str(workers))
        # --insecure: serve static files although DEBUG is off. --nothreading: the in-memory layer and SQLite want one.
        return shared.manage("runserver", "--noreload", "--insecure", "--nothreading", f"{address.host}:{address.port}")

    def migrate(self) -> tuple[str, ...]:
        return shared.manage("migrate", "--noinput")

    def collect_static(self) -> tuple[str, ...]:
        return shared.manage("collectstatic", "--noinput", "--verbosity", "0")

    def add_user(self, username: str, password: str, group_id: int) -> tuple[str, ...]:
        return shared.manage("createopenslidesuser", "Local", "Administrator", username, password, str(group_id))

    def set_config(self, key: str, value: str) -> tuple[str, ...]:
        return shared.manage("changeconfig", key, value)

    def send_test_mail(self, recipient: str) -> tuple[str, ...]:
        return shared.manage("sendtestemail", recipient)

    def accounts(self, superadmin_password: str, admin: Login) -> tuple[Update, ...]:
        return shared.account_rows(superadmin_password, admin)

    def event(self, event: Event) -> tuple[Update, ...]:
        return shared.event_rows(event)
