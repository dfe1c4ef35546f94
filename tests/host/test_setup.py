"""What a further ``make host`` does to a machine that is set up: nothing, or repair what is not as it shall be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.host.conftest import BACKUPS, DOMAIN
from tests.host.machine import Machine, Ran, Visitor

ETC = "/etc/openslides-multiinstance"
PRODUCT = "/opt/openslides-multiinstance"
HOME = "/srv/openslides/home"
STATIC = "/srv/openslides/control/static"
UNIT = "/etc/systemd/system/openslides-beat.service"
PLANTED = "/root/planted"
BROKEN = "/etc/nginx/conf.d/broken.conf"
HSTS = "max-age=31536000"


def make_host(machine: Machine, wheels: Path, **variables: str) -> Ran:
    """With no parameter but ``variables``: the machine knows the others.

    As an operator does it who came by ``su`` without a dash, with a strict umask, behind a proxy.
    """
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), **variables}
    surroundings = {"PATH": "/usr/local/bin:/usr/bin:/bin", "https_proxy": "http://127.0.0.1:9"}
    strict = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    return machine.run(*strict, "make", "-C", PROJECT, "host", env=settings | surroundings, timeout=600)


def changed(ran: Ran) -> int:
    """How many tasks say that they changed something."""
    recap = re.search(r"changed=(\d+) .* failed=0 ", ran.output)
    assert recap is not None, ran.output
    return int(recap[1])


def mode(machine: Machine, path: str) -> str:
    return machine.do("stat", "--format=%U:%G %a", path).strip()


def hsts(machine: Machine) -> str:
    return Visitor(machine, DOMAIN).get("/admin/login/").headers["strict-transport-security"]


@pytest.fixture(scope="module")
def settled(machine: Machine, wheels: Path) -> Machine:
    """Nothing is left to do: what other tests changed is repaired."""
    ran = make_host(machine, wheels)
    assert ran.code == 0, ran.output
    return machine


@pytest.mark.parametrize("variables", [{}, {"CHECK": "1"}], ids=["a run", "a dry run"])
def test_another_run_needs_no_parameter_and_changes_nothing(
    settled: Machine, wheels: Path, variables: dict[str, str]
) -> None:
    remembered = settled.read(f"{ETC}/host.yml")
    settled.do("touch", "/run/before")
    ran = make_host(settled, wheels, **variables)
    assert changed(ran) == 0, ran.output
    written = settled.do("find", "/etc", PRODUCT, "/usr/local", "-newer", "/run/before", "-type", "f")
    assert written == ""
    assert settled.read(f"{ETC}/host.yml") == remembered
    assert DOMAIN in remembered
    assert BACKUPS in remembered


def test_secrets_are_read_by_those_only_who_need_them(machine: Machine) -> None:
    found = {name: mode(machine, f"{ETC}/{name}") for name in ("env", "host.yml", "self-signed.key")}
    assert found == {"env": "root:openslides 640", "host.yml": "root:root 600", "self-signed.key": "root:root 600"}


def test_http_leads_to_https(machine: Machine) -> None:
    answer = Visitor(machine, DOMAIN, tls=False).get("/admin/?next=x")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{DOMAIN}/admin/?next=x")


def test_the_operator_s_environment_counts_for_nothing_in_manage_py(machine: Machine) -> None:
    """The settings' file does; the working directory may be one that the service user cannot read."""
    strange = {"DATA_DIR": "/root", "DATABASE_URL": "sqlite:////root/none", "DEBUG": "true"}
    printed = "from django.conf import settings as s; print(s.DATA_DIR, s.DATABASES['default']['NAME'], s.DEBUG)"
    said = machine.do("openslides-manage", "shell", "-v", "0", "-c", printed, env=strange)
    assert said.split() == ["/srv/openslides/control", "multiinstance", "False"]


@pytest.fixture(scope="module")
def repaired(settled: Machine, wheels: Path) -> Iterator[Machine]:
    """A run after a unit was changed by hand, and the service user had put links in root's way."""
    settled.do("mkdir", "-p", "-m", "750", PLANTED)
    settled.do("sed", "-i", "s/^Restart=.*/Restart=no/", UNIT)
    plant = f"rm -rf {HOME}/.config; ln -s {PLANTED} {HOME}/.config; ln -sfn {PLANTED} {STATIC}"
    assert settled.as_user("openslides", "sh", "-c", plant).code == 0
    try:
        ran = make_host(settled, wheels)
        assert ran.code == 0, ran.output
        yield settled
    finally:
        settled.do("rm", "-rf", PLANTED, f"{HOME}/.config")


def test_a_unit_that_was_changed_by_hand_is_repaired_and_loaded(repaired: Machine) -> None:
    shown = repaired.do("systemctl", "show", "--property=Restart,NeedDaemonReload", "openslides-beat.service")
    assert set(shown.split()) == {"Restart=always", "NeedDaemonReload=no"}


def test_root_does_nothing_through_a_link_of_the_service_user(repaired: Machine) -> None:
    assert mode(repaired, PLANTED) == "root:root 750"
    assert repaired.do("ls", "-A", PLANTED) == ""
    assert repaired.do("readlink", STATIC).strip() == "/srv/openslides/static"


def test_what_a_refused_run_has_written_is_brought_into_force_by_the_next(settled: Machine, wheels: Path) -> None:
    shorter = "max-age=60"
    settled.do("tee", BROKEN, stdin="nonsense;\n")
    try:
        refused = make_host(settled, wheels, HSTS=shorter)
        assert refused.code != 0
        assert f"in {BROKEN}:1" in refused.output, "nginx names the file"
        assert hsts(settled) == HSTS
        settled.do("rm", BROKEN)
        ran = make_host(settled, wheels, HSTS=shorter)
        assert ran.code == 0, ran.output
        assert hsts(settled) == shorter
    finally:
        settled.do("rm", "-f", BROKEN)
        ran = make_host(settled, wheels, HSTS=HSTS)
    assert ran.code == 0, ran.output
    assert hsts(settled) == HSTS
