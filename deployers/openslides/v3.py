"""OpenSlides 3.1 to 3.3: Channels 2, Django 2.2."""

from __future__ import annotations

from deployers.databases.database import Update
from deployers.openslides import shared
from deployers.openslides.profile import Login, Logo, Surroundings
from deployers.routers.address import Address, TcpAddress, UnixAddress
from deployers.spec import Event

UPLOAD_BYTES = 100 * 1024 * 1024
"""As in the settings that OpenSlides 3 makes for itself (utils/settings.py.tpl)."""

CHANNEL_CAPACITY = 100_000
"""Messages that may wait for one process, likewise."""

DAPHNE = (
    "import os, sys; from daphne.cli import CommandLineInterface; "
    "CommandLineInterface.entrypoint(); sys.stdout.flush(); os._exit(0)"
)
"""daphne, which ends when it has stopped serving.

daphne 2.4 has no __main__, and its script's first line would break where the path has a space. Left to itself,
Python then waits for the thread of a request that was cut off by the stop, which waits for the event loop that has
ended: about one stop in twenty under load hung until SIGKILL (measured with 3.3). An open transaction is rolled
back by the database.
"""


class OpenSlides3:
    """One daphne, which serves the client's static files too (core.views.IndexView, by Django's finders). At a unix
    socket there may be several, which share what they know by Redis.

    To the server go the paths ``/apps/``, ``/rest/``, ``/media/`` and ``/ws/``; all else is the client.
    """

    major = 3
    lives_under_prefix = False
    media_url = "/media/"
    version_path = "/apps/core/version/"
    login_path = "/login"
    server_time_path = "/apps/core/servertime/"
    kept_tables = shared.KEPT_TABLES
    admin_groups = ("Admin", "Staff")
    # A static file is served below "/"; the client shows what the configuration names.
    logo = Logo("instance-logo.png", "logo_projector_main", "/instance-logo.png")
    # A history that is empty is begun at the first start, with the accounts as they are then (core.apps, startup hook).
    volatile_tables = ("core_history", "core_historydata", "django_session")

    def settings(self, surroundings: Surroundings) -> str:
        own: dict[str, object] = {
            "OPENSLIDES_USER_DATA_DIR": surroundings.data,
            "DATA_UPLOAD_MAX_MEMORY_SIZE": UPLOAD_BYTES,
        }
        if surroundings.redis is not None:
            own["REDIS_ADDRESS"] = surroundings.redis.socket
            own["CHANNEL_LAYERS"] = {
                "default": {
                    "BACKEND": f"{shared.INSIDE}.channels2.RedisChannelLayer",
                    "CONFIG": {"prefix": f"{surroundings.redis.prefix}asgi:", "capacity": CHANNEL_CAPACITY},
                }
            }
        return shared.render_settings(self.major, surroundings, own, redis_app=f"{shared.INSIDE}.elements.Elements")

    def needs_redis(self, address: Address, workers: int) -> bool:
        return isinstance(address, UnixAddress) and workers > 1

    def serve(self, address: Address, workers: int = 1) -> tuple[str, ...]:
        if isinstance(address, TcpAddress):
            return ("-c", DAPHNE, "-b", address.host, "-p", str(address.port), "openslides.asgi:application")
        if workers > 1:
            return ("-m", f"{shared.INSIDE}.serve3", str(address.path), str(workers))
        return ("-c", DAPHNE, "-u", str(address.path), "openslides.asgi:application")

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
