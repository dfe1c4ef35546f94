"""Where a new instance goes: a host, and on a host that gives out ports, a port."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from deployers.deployer import Deployer
from deployers.openslides.releases import UnsupportedRelease, profile_for
from deployers.states import UnitState
from instances.choices import Db, Engine, HostKind, Mode
from instances.errors import NoHost, NoPort, Unsupported
from instances.models import Host, Instance, Version


def choose_host() -> Host:
    """The host with the most free capacity; one query. Raises NoHost."""
    host = (
        Host.objects.annotate(used=Count("instances", filter=Q(instances__removed_at=None)))
        .filter(used__lt=F("capacity"))
        .order_by(F("used") - F("capacity"), "name")
        .first()
    )
    if host is None:
        raise NoHost
    return host


def check_host_supports(host: Host, *, db: str, mode: str, version: Version) -> None:
    """Raises Unsupported when the host has no such database server or engine, or cannot serve in that mode."""
    if host.kind == HostKind.EMBEDDED:
        if db not in ("", Db.SQLITE):
            raise Unsupported("db", _("The host %(host)s keeps instances in SQLite. Choose sqlite.") % {"host": host})
        if version.engine != Engine.VIRTUALENV:
            raise Unsupported(
                "version",
                _("The host %(host)s runs versions from PyPI only (pypi:openslides==…). Choose another version.")
                % {"host": host},
            )
        return
    if version.engine not in settings.ENGINES:
        raise Unsupported(
            "version",
            _("The host %(host)s runs %(engines)s. Choose a version of such an engine.")
            % {"host": host, "engines": ", ".join(settings.ENGINES)},
        )
    if mode == Mode.PATH and not lives_under_prefix(version):
        raise Unsupported(
            "mode",
            _("The web client of %(version)s must be at the root of its address. Choose a subdomain.")
            % {"version": version},
        )


def lives_under_prefix(version: Version) -> bool:
    """Whether the client of this OpenSlides can be below a path. One that nobody knows cannot."""
    try:
        return profile_for(".".join(str(number) for number in version.release)).lives_under_prefix
    except UnsupportedRelease:
        return False


def ensure_port(instance: Instance, deployer: Deployer) -> None:
    """Give the instance a port that is its own in the database and free on the host, unless it serves on one now.

    1. A host with a proxy in front needs none.
    2. The port that it has stays, if it is free or the instance itself listens on it.
    3. Otherwise: from the first port on, the next that neither an instance has nor a program uses. Another
       worker may take the same one at the same time; the unique constraint tells, and the search goes on.

    Raises NoPort. Two queries, and one more for each port that is lost to somebody else.
    """
    if instance.host.kind != HostKind.EMBEDDED:
        return
    if instance.port is not None:
        serving = deployer.states().get(instance.id) in (UnitState.RUNNING, UnitState.STARTING, UnitState.STOPPING)
        if serving or deployer.port_is_free(instance.port):
            return
    given = set(Instance.objects.filter(host=instance.host).exclude(port=None).values_list("port", flat=True))
    for port in settings.INSTANCE_PORTS:
        if port in given or not deployer.port_is_free(port):
            continue
        try:
            with transaction.atomic():
                Instance.objects.filter(pk=instance.pk).update(port=port)
        except IntegrityError:
            continue
        instance.port = port
        return
    raise NoPort(settings.INSTANCE_PORTS)
