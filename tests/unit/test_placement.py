"""Each instance of the embedded host gets a port that is its own and free."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from deployers.embedded import EmbeddedSettings, embedded_deployer
from instances.choices import Db, Engine, HostKind, Mode
from instances.errors import NoPort, Unsupported
from instances.models import Instance
from instances.placement import check_host_supports, ensure_port
from tests.factories import make_host, make_instance, make_version

pytestmark = pytest.mark.django_db

DEPLOYER = embedded_deployer(EmbeddedSettings(data_dir=Path("/nonexistent")))


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another program listens; the next one may be free or not."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_first_free_port_is_given_and_kept(settings: Settings, taken_port: int) -> None:
    settings.INSTANCE_PORTS = range(taken_port, taken_port + 100)
    instance = make_instance()
    ensure_port(instance, DEPLOYER)
    assert instance.port is not None
    assert instance.port != taken_port
    assert Instance.objects.get(pk=instance.pk).port == instance.port


def test_a_port_that_another_instance_has_is_not_given(settings: Settings, taken_port: int) -> None:
    settings.INSTANCE_PORTS = range(taken_port, taken_port + 100)
    host = make_host()
    one, two = make_instance(host=host), make_instance(host=host)
    ensure_port(one, DEPLOYER)
    ensure_port(two, DEPLOYER)
    assert one.port != two.port


def test_when_all_are_taken_the_error_says_what_to_do(settings: Settings, taken_port: int) -> None:
    settings.INSTANCE_PORTS = range(taken_port, taken_port + 1)
    with pytest.raises(NoPort, match="INSTANCE_PORTS"):
        ensure_port(make_instance(), DEPLOYER)


def test_a_production_host_takes_versions_of_its_engines_only(settings: Settings) -> None:
    settings.ENGINES = ["podman"]
    host = make_host(kind=HostKind.SYSTEMD)
    podman = make_version(image="localhost/openslides:3.3", engine=Engine.PODMAN)
    rkt = make_version(image="openslides/openslides:2.1", engine=Engine.RKT)
    check_host_supports(host, db=Db.POSTGRESQL, mode=Mode.SUBDOMAIN, version=podman)
    check_host_supports(host, db=Db.SQLITE, mode=Mode.SUBDOMAIN_NOSSL, version=podman)
    for version in (rkt, make_version()):
        with pytest.raises(Unsupported, match="podman") as caught:
            check_host_supports(host, db=Db.SQLITE, mode=Mode.SUBDOMAIN, version=version)
        assert caught.value.field == "version"


@pytest.mark.parametrize("name", ["2.1", "2.3", "3.3", "9.9"])
def test_no_client_that_is_known_can_live_below_a_path(settings: Settings, name: str) -> None:
    settings.ENGINES = ["podman"]
    version = make_version(name=name, image="localhost/openslides:1", engine=Engine.PODMAN)
    with pytest.raises(Unsupported, match="Choose a subdomain") as caught:
        check_host_supports(make_host(kind=HostKind.SYSTEMD), db=Db.SQLITE, mode=Mode.PATH, version=version)
    assert caught.value.field == "mode"
