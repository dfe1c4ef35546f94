"""OpenSlides 2.1 to 2.3: Channels 1, Django 1.11 and 2.1."""

from __future__ import annotations

from deployers.databases.database import Update
from deployers.openslides import shared
from deployers.openslides.profile import Login, Logo, Surroundings
from deployers.routers.address import Address, TcpAddress, UnixAddress
from deployers.spec import Event


class OpenSlides2:
    """One process without Redis: runserver with the in-memory channel layer."""

    major = 2
    lives_under_prefix = False
    version_path = "/core/version/"
    admin_groups = ("Admin", "Staff")  # 2.1 has no Admin; its Staff may do everything
    # core/static/templates/projector.html shows this file unless the instance's users choose another.
    logo = Logo("img/logo-projector.png")
    volatile_tables = ("django_session",)

    def settings(self, surroundings: Surroundings) -> str:
        return shared.render_settings(self.major, surroundings, {"OPENSLIDES_USER_DATA_PATH": surroundings.data})

    def needs_redis(self, address: Address, workers: int) -> bool:
        return isinstance(address, UnixAddress)

    def serve(self, address: Address, workers: int = 1) -> tuple[str, ...]:
        assert isinstance(address, TcpAddress)
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

    def accounts(self, superadmin_password: str, admin: Login) -> tuple[Update, ...]:
        return shared.account_rows(superadmin_password, admin)

    def event(self, event: Event) -> tuple[Update, ...]:
        return shared.event_rows(event)
