"""What the service user, and with it every instance that breaks out of its container, cannot do to the machine."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Iterator, Sequence

import pytest

from tests.host.conftest import DOMAIN
from tests.host.machine import Machine, Ran, Visitor
from tests.host.operator import Operator
from tests.host.scan import podman, psql

INSTANCES = "/srv/openslides/instances"
SECRET = "a-secret-of-another-service"


def as_service_user(machine: Machine, *argv: str) -> Ran:
    return machine.as_user("openslides", *argv)


def systemctl(machine: Machine, *argv: str) -> Ran:
    return as_service_user(machine, "systemctl", "--no-ask-password", *argv)


def service_json(number: str, argv: Sequence[str], **environment: str) -> str:
    """A service.json that the service user wrote by hand."""
    service = {
        "engine": "podman", "argv": argv, "environment": environment, "stop": [], "cleanup": [], "user": None,
        "socket": f"/run/openslides/web/{number}/web.sock", "ready": "/", "idle_seconds": 1, "always_on": False,
    }  # fmt: skip
    return json.dumps(service)


@pytest.fixture(scope="module")
def other_service(machine: Machine) -> Iterator[str]:
    """Another service of the machine, with a secret that only root reads."""
    machine.do("mkdir", "-p", "-m", "700", "/root/other")
    machine.do("tee", "/root/other/env", stdin=f"OTHER_SECRET={SECRET}\n")
    machine.do("chmod", "600", "/root/other/env")
    yield "/root/other/env"
    machine.do("rm", "-rf", "/root/other")


@pytest.fixture
def own_directory(machine: Machine) -> Iterator[str]:
    """A directory like an instance's, which the service user made by hand."""
    number = secrets.token_hex(16)
    made = as_service_user(machine, "mkdir", "-m", "711", f"{INSTANCES}/{number}")
    assert made.code == 0, made.output
    yield number
    systemctl(machine, "stop", f"openslides_instance_proxy@{number}.socket", f"openslides_instance@{number}.service")
    systemctl(machine, "reset-failed", f"openslides_instance@{number}.service")
    machine.do("rm", "-rf", f"{INSTANCES}/{number}", f"/run/openslides/web/{number}")


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "reload", "kill", "mask", "enable", "disable"])
@pytest.mark.parametrize("unit", ["nginx.service", "postgresql.service", "openslides-worker.service", "cron.service"])
def test_it_cannot_do_anything_to_other_units(machine: Machine, verb: str, unit: str) -> None:
    before = machine.run("systemctl", "is-active", unit).output
    assert systemctl(machine, verb, unit).code != 0
    assert machine.run("systemctl", "is-active", unit).output == before


@pytest.mark.parametrize(
    "unit",
    [
        "openslides_instance@../../etc.service",
        "openslides_instance@x.y.service",
        "openslides_domains.service.d",
        "xopenslides_instance@0.service",
        "openslides_instance_evil@0.service",
    ],
)
def test_names_that_only_look_like_an_instance_s_are_refused(machine: Machine, unit: str) -> None:
    assert systemctl(machine, "start", unit).code != 0


def test_it_cannot_change_what_an_instance_s_unit_is(machine: Machine) -> None:
    unit = f"openslides_instance@{'0' * 32}.service"
    for argv in (
        ("set-property", unit, "MemoryMax=infinity"),
        ("set-property", "--runtime", unit, "CPUQuota=1000%"),
        ("enable", unit),
        ("mask", unit),
        ("daemon-reload",),
        ("link", "/tmp/x.service"),
    ):
        assert systemctl(machine, *argv).code != 0, argv


def test_it_cannot_run_a_unit_of_its_own(machine: Machine) -> None:
    for name in ("mine", "openslides_instance@evil"):
        ran = as_service_user(machine, "systemd-run", "--no-ask-password", f"--unit={name}", "id")
        assert ran.code != 0
        assert "uid=0" not in ran.output


def test_it_cannot_write_what_root_runs_or_reads(machine: Machine) -> None:
    found = as_service_user(
        machine,
        *("find", "/opt/openslides-multiinstance", "/etc/openslides-multiinstance", "/etc/systemd", "/etc/nginx"),
        *("/etc/polkit-1/rules.d", "/etc/tmpfiles.d", "/run/openslides/sockets", "/srv/openslides/images"),
        *("!", "-type", "l", "!", "-type", "s", "-writable"),
    )
    assert [line for line in found.output.splitlines() if "Permission denied" not in line] == []


def test_it_cannot_read_others_secrets(machine: Machine, other_service: str) -> None:
    for path in (
        other_service,
        "/etc/shadow",
        "/etc/redis/redis-openslides.conf",
        "/etc/openslides-multiinstance/self-signed.key",
        "/var/lib/redis/openslides.acl",
    ):
        assert machine.read(path).strip(), f"root reads {path}"
        ran = as_service_user(machine, "cat", path)
        assert ran.code != 0, path


def test_a_link_to_anothers_secrets_gives_nothing_away(
    machine: Machine, other_service: str, own_directory: str
) -> None:
    """Neither as the file that a unit's program reads, nor in what that program then says."""
    link = f"{INSTANCES}/{own_directory}/service.json"
    assert as_service_user(machine, "ln", "-s", other_service, link).code == 0
    unit = f"openslides_instance@{own_directory}.service"
    systemctl(machine, "start", unit)
    said = machine.journal(unit)
    assert "cannot be read" in said
    assert SECRET not in said


def test_a_unit_runs_whatever_it_says_as_the_service_user_only(machine: Machine, own_directory: str) -> None:
    path = f"{INSTANCES}/{own_directory}/service.json"
    machine.do("tee", path, stdin=service_json(own_directory, ["/usr/bin/id"]))
    machine.do("chown", "openslides:", path)
    unit = f"openslides_instance@{own_directory}.service"
    systemctl(machine, "start", unit)
    said = machine.journal(unit)
    assert "(openslides)" in said
    assert "uid=0" not in said


def test_links_in_the_places_of_directories_lead_nobody_to_what_is_root_s(
    machine: Machine, other_service: str, own_directory: str
) -> None:
    """Neither nginx, nor a unit's start, nor root's program for the domains; and nothing is given to anybody."""
    files = [
        json.loads(machine.read(path)) for path in machine.do("find", "/srv/openslides/domains", "-type", "f").split()
    ]
    by_name = next(f"/srv/openslides/by-name/{file['id']}" for file in files if file["domain"] == DOMAIN)
    directory, itself, web = f"{INSTANCES}/{own_directory}", secrets.token_hex(16), "/run/openslides/web"
    service = service_json(own_directory, ["/usr/bin/id"])
    targets = ("/root", "/root/other", other_service, "/etc", "/etc/shadow")
    before = (machine.do("stat", "--format=%n %U %G %a %Y %Z", *targets), machine.do("getfacl", "-p", *targets))
    script = f"""
        mkdir -p {directory}/data {directory}/public/pages {by_name}
        touch {directory}/public/v3
        printf %s {shlex.quote(service)} >{directory}/service.json
        ln -s /root/other {INSTANCES}/{itself}
        ln -s /root/other {directory}/data/media
        ln -s {directory}/data/media {directory}/public/media
        ln -s /root/other {directory}/public/version
        ln -s /etc {directory}/public/static
        ln -s {directory}/public {by_name}/x-parts
        ln -s {INSTANCES}/{itself} {by_name}/x-itself
        ln -s /etc {by_name}/x-etc
        ln -s /root/other {web}/{own_directory}
        ln -s /root/other {web}/{itself}
    """
    try:
        made = as_service_user(machine, "sh", "-ec", script)
        assert made.code == 0, made.output
        for number in (own_directory, itself):
            for unit in (f"_proxy@{number}.socket", f"@{number}.service", f"_proxy@{number}.service"):
                systemctl(machine, "start", f"openslides_instance{unit}")
        systemctl(machine, "start", "openslides_domains.service")
        shadow = machine.read("/etc/shadow").splitlines()[0]
        for slug in ("x-parts", "x-itself", "x-etc"):
            for path in ("/env", "/shadow", "/media/env", "/internal-media/env", "/other/env", "/x/../env", "/"):
                answer = Visitor(machine, f"{slug}.{DOMAIN}", tls=False).get(path)
                assert SECRET not in answer.text, (slug, path)
                assert shadow not in answer.text, (slug, path)
        said = machine.journal(f"openslides_instance*@{own_directory}.*") + machine.journal(f"*@{itself}.*")
        assert SECRET not in said
        assert (
            machine.do("stat", "--format=%n %U %G %a %Y %Z", *targets),
            machine.do("getfacl", "-p", *targets),
        ) == before
    finally:
        for number in (own_directory, itself):
            units = [f"openslides_instance_proxy@{number}.socket", f"openslides_instance@{number}.service"]
            systemctl(machine, "stop", *units)
            systemctl(machine, "reset-failed", *units)
        links = (f"{by_name}/x-parts", f"{by_name}/x-itself", f"{by_name}/x-etc", f"{web}/{own_directory}")
        machine.do("rm", "-f", *links, f"{web}/{itself}", f"{INSTANCES}/{itself}")


@pytest.mark.parametrize("image", ["--privileged", "-v/:/h", "localhost/a:1 --privileged"])
def test_no_image_s_name_is_an_option_of_podman(operator: Operator, image: str) -> None:
    attributes = {"name": f"3.3-{secrets.token_hex(2)}", "image": image, "engine": "podman"}
    answer = operator.send("POST", "/api/osversions", {"data": {"type": "osversions", "attributes": attributes}})
    assert 400 <= answer.status < 500, answer.text
    (error,) = answer.json()["errors"]
    assert error["source"]["pointer"] == "/data/attributes/image"
    assert "reference of a container image" in error["detail"]


def test_a_container_with_every_right_has_those_of_the_service_user(machine: Machine, own_directory: str) -> None:
    """Whatever a service.json makes podman do: its root is the service user."""
    image = podman(machine, "images", "--quiet", "--no-trunc")[0].removeprefix("sha256:")
    script = (
        "id -u; cat /h/etc/shadow; touch /h/root/mine; touch /h/srv/openslides/home/mine; head -1 /proc/self/uid_map"
    )
    argv = ["podman", "--cgroup-manager=cgroupfs", "run", "--rm", "--cap-add=all", "--pull=never", "--network=none"]
    argv += ["--user=0", "--cgroups=disabled", "-v", "/:/h", image, "sh", "-c", script]
    service = service_json(own_directory, argv, HOME="/srv/openslides/home", XDG_RUNTIME_DIR="/run/openslides/podman")
    path = f"{INSTANCES}/{own_directory}/service.json"
    machine.do("tee", path, stdin=service)
    machine.do("chown", "openslides:", path)
    unit = f"openslides_instance@{own_directory}.service"
    try:
        systemctl(machine, "start", unit)
        said = machine.journal(unit)
        assert "cat: /h/etc/shadow: Permission denied" in said
        assert "touch: cannot touch '/h/root/mine': Permission denied" in said
        uid = machine.do("id", "-u", "openslides").strip()
        assert re.search(rf"^\s*0\s+{uid}\s+1$", said, re.MULTILINE), said
        assert machine.do("stat", "--format=%U", "/srv/openslides/home/mine").strip() == "openslides"
    finally:
        machine.do("rm", "-f", "/srv/openslides/home/mine")


def test_the_control_plane_is_no_superuser_of_postgresql(machine: Machine) -> None:
    query = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = "
    assert psql(machine, f"{query}'openslides'") == ["f|t|t|f|f"]


def test_a_socket_s_owner_is_not_set_through_a_link(machine: Machine, own_directory: str) -> None:
    """systemd gives a socket to its owner by path, as root: it lies where the service user can put no link."""
    for path in (f"/run/openslides/sockets/{own_directory}.sock", "/run/openslides/sockets/x"):
        assert as_service_user(machine, "ln", "-s", "/etc/shadow", path).code != 0
    assert machine.do("stat", "--format=%U", "/etc/shadow").strip() == "root"


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 900, "domain": "x.test; root /", "certificate": null, "certificate_key": null}',
        '{"id": 900, "domain": "x.test", "certificate": "/root/other/env", "certificate_key": "/root/other/env"}',
        '{"id": 900, "domain": "x.test", "certificate": "/etc/ssl/../shadow", "certificate_key": "/etc/shadow"}',
        '{"id": 900, "domain": "x\\n}", "certificate": null, "certificate_key": null}',
        "not json",
    ],
)
def test_domain_data_cannot_reach_nginx_unless_it_is_a_domain(
    machine: Machine, other_service: str, content: str
) -> None:
    path = "/srv/openslides/domains/900.json"
    try:
        machine.do("tee", path, stdin=content)
        machine.do("chown", "openslides:", path)
        systemctl(machine, "start", "openslides_domains.service")
        assert machine.run("test", "-e", "/etc/nginx/openslides/900.conf").code != 0
        result = json.loads(machine.read("/run/openslides/domains.json"))
        assert result["domains"]["900"]["ok"] is False
        assert SECRET not in json.dumps(result)
        assert machine.run("nginx", "-t").code == 0
    finally:
        machine.do("rm", "-f", path)
        machine.do("systemctl", "start", "openslides_domains.service")


def test_a_linked_domain_file_is_not_followed(machine: Machine, other_service: str) -> None:
    path = "/srv/openslides/domains/901.json"
    try:
        assert as_service_user(machine, "ln", "-s", other_service, path).code == 0
        systemctl(machine, "start", "openslides_domains.service")
        said = machine.read("/run/openslides/domains.json") + machine.journal("openslides_domains.service")
        assert SECRET not in said
    finally:
        machine.do("rm", "-f", path)
        machine.do("systemctl", "start", "openslides_domains.service")


def test_nginx_follows_no_link_out_of_an_instance(machine: Machine) -> None:
    assert "disable_symlinks on" in machine.do("sh", "-c", "cat /etc/nginx/openslides/*.conf")


def test_it_has_no_way_to_root(machine: Machine) -> None:
    for argv in (("sudo", "-n", "id"), ("pkexec", "--disable-internal-agent", "id"), ("su", "-c", "id")):
        ran = as_service_user(machine, *argv)
        assert ran.code != 0
        assert "uid=0" not in ran.output
    groups = as_service_user(machine, "id", "-Gn").output.split()
    assert not set(groups) & {"root", "sudo", "adm", "docker", "disk", "shadow", "systemd-journal"}


def test_the_user_of_the_instances_can_read_nothing_of_the_control_plane(machine: Machine) -> None:
    uid = json.loads(machine.read("/etc/openslides-multiinstance/host.json"))["instance_uid"]
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    for path in ("/etc/openslides-multiinstance/env", "/srv/openslides/control", "/srv/openslides/home"):
        assert machine.run(*prefix, "ls", path + "/").code != 0
        assert machine.run(*prefix, "cat", path).code != 0
    refused = machine.run(
        *prefix, "psql", "-h", "/run/postgresql", "-U", "openslides", "-w", "multiinstance", "-c", "\\l"
    )
    assert refused.code != 0
