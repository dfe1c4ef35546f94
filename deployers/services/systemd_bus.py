"""Reads the states of units in one call to systemd, over D-Bus (org.freedesktop.systemd1(5))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jeepney import DBusAddress, Message, new_method_call
from jeepney.io.blocking import open_dbus_connection
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

from deployers.errors import ServiceManagerUnreachable

MANAGER = DBusAddress(
    "/org/freedesktop/systemd1", bus_name="org.freedesktop.systemd1", interface="org.freedesktop.systemd1.Manager"
)
ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Unit:
    """One loaded unit. ``active`` and ``sub``: systemctl(1)'s columns ACTIVE and SUB."""

    name: str
    active: str
    sub: str


def units_like(patterns: Sequence[str], bus: str = "SYSTEM") -> list[Unit]:
    """The loaded units whose names match. ``bus``: "SYSTEM", or the address of one.

    Raises ServiceManagerUnreachable.
    """
    return _list(new_method_call(MANAGER, "ListUnitsByPatterns", "asas", ([], list(patterns))), bus)


def units_named(names: Sequence[str], bus: str = "SYSTEM") -> list[Unit]:
    """Just these units, loaded or not, at a cost that does not grow with the number of others.

    Raises ServiceManagerUnreachable.
    """
    return _list(new_method_call(MANAGER, "ListUnitsByNames", "as", (list(names),)), bus)


def _list(message: Message, bus: str) -> list[Unit]:
    try:
        with open_dbus_connection(bus) as connection:
            (units,) = unwrap_msg(connection.send_and_get_reply(message, timeout=ANSWER_SECONDS))
    except (OSError, TimeoutError, DBusErrorResponse, KeyError) as error:
        raise ServiceManagerUnreachable("the system's D-Bus", str(error) or type(error).__name__) from error
    # name, description, load state, active state, sub state, followed unit, path, job id, job type, job path
    return [Unit(unit[0], unit[3], unit[4]) for unit in units]
