"""The units of the engine rkt on a booted host, started by the service user; rkt itself is a stand-in that writes down
how it was called (rkt_stand_in.py), so nothing here is a proof of what rkt does with that."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from tests.conftest import PROJECT
from tests.host.machine import Machine, Ran
from tests.tools import require

APP = "/opt/openslides-multiinstance/app"
HASH = "sha512-6cb204a4862dc1913f8002430e10a95a17751db8a1aed2383bc76d461f9df14b"
INSTANCES, WEB = "/srv/openslides/instances", "/run/openslides/web"
OUTPUTS = Path(__file__).with_name("rkt_outputs")
CALLS = "/var/lib/rkt-stand-in/calls"
UID = 100999
SERVER = """
import http.server, os, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"openslides_version": "3.3"}')
    def address_string(self): return "-"
print("started by", os.getuid(), os.environ.get("HOME"), flush=True)
server = socketserver.UnixStreamServer(os.environ["SOCKET"], Handler)
os.chmod(os.environ["SOCKET"], 0o666)
server.serve_forever()
"""
"""Where an image would have OpenSlides; a program in a file, since arguments hold one line each."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("booting a machine needs root")
    require("setfacl", "acl")
    name = f"rkt-{os.getpid()}"
    made = Machine(name, Path("/var/tmp/booted-hosts") / name, [f"{PROJECT}:{APP}"])
    try:
        made.up()
        _set_up(made)
        yield made
    finally:
        made.down()


def _set_up(machine: Machine) -> None:
    """What `make host` does, as far as these units need it."""
    machine.do("useradd", "--system", "--user-group", "--home-dir", "/srv/openslides/home", "openslides")
    for directory in ("versions", "instances"):
        machine.do("install", "-d", "-o", "openslides", "-g", "openslides", "-m", "711", f"/srv/openslides/{directory}")
    machine.do("install", "-d", "-o", "openslides", "-g", "openslides", "-m", "711", WEB)
    machine.do(
        "install",
        "-d",
        "/run/openslides/sockets",
        "/etc/openslides-multiinstance",
        "/var/lib/rkt-stand-in",
        "/etc/polkit-1/rules.d",
    )
    _write(machine, "/etc/openslides-multiinstance/host.json", json.dumps({"instance_uid": UID}))
    rules = PROJECT / "deployers" / "setup" / "roles" / "units" / "files" / "50-openslides.rules"
    _write(machine, "/etc/polkit-1/rules.d/50-openslides.rules", rules.read_text())
    _write(machine, "/usr/local/bin/rkt", Path(__file__).with_name("rkt_stand_in.py").read_text(), mode="755")
    for source, target in (("images", "images"), ("manifest", "manifest"), ("pods_with_a_network", "pods")):
        _write(machine, f"/var/lib/rkt-stand-in/{target}.json", (OUTPUTS / f"{source}.json").read_text())
    _write(machine, "/srv/server.py", SERVER)
    units = PROJECT / "templates" / "host" / "units"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(units), undefined=jinja2.StrictUndefined)
    for template in units.glob("openslides_rkt*@.*.j2"):
        text = environment.get_template(template.name).render()
        _write(machine, f"/etc/systemd/system/{template.stem}", text)
    machine.do("systemctl", "daemon-reload")


def _write(machine: Machine, path: str, text: str, mode: str = "644") -> None:
    machine.do("tee", path, stdin=text)
    machine.do("chmod", mode, path)


def put_images_in_the_store(machine: Machine) -> None:
    _write(machine, "/var/lib/rkt-stand-in/images.json", (OUTPUTS / "images.json").read_text())


def as_service_user(machine: Machine, *argv: str, timeout: float = 120) -> Ran:
    return machine.as_user("openslides", *argv, timeout=timeout)


def calls(machine: Machine) -> list[list[str]]:
    return [json.loads(line) for line in machine.run("cat", CALLS).output.splitlines() if line.startswith("[")]


@pytest.fixture
def instance(machine: Machine) -> Iterator[str]:
    """As the control plane makes it: its directory, service.json, and a version."""
    number = secrets.token_hex(16)
    machine.run("rm", "-f", CALLS)
    directory = f"{INSTANCES}/{number}"
    script = f"""
        mkdir -m 711 {directory}
        mkdir -p {directory}/data {directory}/log {directory}/public/static /srv/openslides/versions/docker-x-3.3/static
        chmod 700 {directory}/log; setfacl -m u:{UID}:rwx {directory}/data; touch {directory}/settings.py
    """
    assert as_service_user(machine, "sh", "-ec", script).code == 0
    write_service(machine, number)
    yield number
    names = ("_proxy@{}.socket", "_awake@{}.target", "_proxy@{}.service", "@{}.service")
    machine.run("systemctl", "stop", *(f"openslides_rkt{name.format(number)}" for name in names))
    machine.run("systemctl", "reset-failed", f"openslides_rkt@{number}.service")
    machine.do("rm", "-rf", directory, f"{WEB}/{number}")


def write_service(machine: Machine, number: str, **changes: object) -> None:
    service = {
        "argv": ["rkt", HASH, "docker-x-3.3", "python3", "/srv/server.py"],
        "environment": {"HOME": "/somewhere", "SOCKET": f"{WEB}/{number}/web.sock"},
        "socket": f"{WEB}/{number}/web.sock",
        "ready": "/apps/core/version/",
        "idle_seconds": 1,
        **changes,
    }
    text = shlex.quote(json.dumps(service))
    argv = ("sh", "-ec", f"printf %s {text} > {INSTANCES}/{number}/service.json")
    assert as_service_user(machine, *argv).code == 0


def systemctl(machine: Machine, verb: str, number: str) -> Ran:
    return as_service_user(machine, "systemctl", "--no-ask-password", verb, f"openslides_rkt@{number}.service")


def log_of(machine: Machine, number: str) -> str:
    return as_service_user(machine, "cat", f"{INSTANCES}/{number}/log/instance.log").output


def ask(machine: Machine, socket: str) -> str:
    return machine.run("curl", "-s", "--max-time", "120", "--unix-socket", socket, "http://localhost/").output


def wait_until_it_sleeps(machine: Machine, number: str) -> None:
    deadline = time.monotonic() + 120
    while machine.run("systemctl", "is-active", f"openslides_rkt@{number}.service").output.strip() != "inactive":
        assert time.monotonic() < deadline, machine.journal(f"openslides_rkt*@{number}.*")
        time.sleep(0.2)


def test_an_instance_that_is_always_on_answers_until_it_is_stopped(machine: Machine, instance: str) -> None:
    awake, unit = f"openslides_rkt_awake@{instance}.target", f"openslides_rkt@{instance}.service"
    assert as_service_user(machine, "systemctl", "--no-ask-password", "start", awake).code == 0
    deadline = time.monotonic() + 120
    while not ask(machine, f"{WEB}/{instance}/web.sock").startswith("{"):
        assert time.monotonic() < deadline, machine.journal(unit) + log_of(machine, instance)
        time.sleep(0.2)
    (run,) = [call for call in calls(machine) if call[0] == "run"]
    assert {"--net=none", f"--user={UID}", f"--group={UID}", HASH, "uid=0"} <= set(run)
    # The booted host's root is an overlay.
    assert "--no-overlay" in run[: run.index(HASH)]
    assert log_of(machine, instance).startswith(f"started by {UID} /somewhere\n")
    assert machine.read(f"/run/openslides/rkt/{instance}.uuid") == "0774c3f6-31de-4c46-8128-c0689a9880c8"
    pid = machine.do("systemctl", "show", "-P", "MainPID", unit).strip()
    assert "NoNewPrivs:\t1" in machine.read(f"/proc/{pid}/status")

    assert as_service_user(machine, "systemctl", "--no-ask-password", "stop", awake, unit).code == 0
    assert machine.run("systemctl", "is-active", unit).output.strip() == "inactive"
    assert calls(machine)[-1] == ["rm", f"--uuid-file=/run/openslides/rkt/{instance}.uuid", "uid=0"]
    assert machine.run("test", "-e", f"/run/openslides/rkt/{instance}.uuid").code == 1


def test_a_sleeping_instance_is_woken_by_a_request_and_leaves_no_pod(machine: Machine, instance: str) -> None:
    socket = f"openslides_rkt_proxy@{instance}.socket"
    assert as_service_user(machine, "systemctl", "--no-ask-password", "start", socket).code == 0
    for times in (1, 2):
        # The unit is up when OpenSlides answers, so that even the first request is.
        assert ask(machine, f"/run/openslides/sockets/{instance}.sock").startswith("{")
        wait_until_it_sleeps(machine, instance)
        assert [call[0] for call in calls(machine)] == ["image", "run", "rm"] * times


def test_a_crash_leaves_no_pod(machine: Machine, instance: str) -> None:
    socket, unit = f"openslides_rkt_proxy@{instance}.socket", f"openslides_rkt@{instance}.service"
    as_service_user(machine, "systemctl", "--no-ask-password", "start", socket)
    assert ask(machine, f"/run/openslides/sockets/{instance}.sock").startswith("{")
    machine.do("systemctl", "kill", "--signal=KILL", unit)
    deadline = time.monotonic() + 120
    while calls(machine)[-1][0] != "rm":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert machine.run("pgrep", "-u", str(UID)).output == ""


def test_what_an_instance_has_closed_beside_its_socket_is_no_obstacle(machine: Machine, instance: str) -> None:
    """Its directory of mode 0700, with something in it, is not the service user's to remove."""
    directory = f"{WEB}/{instance}"
    assert systemctl(machine, "start", instance).code == 0
    assert systemctl(machine, "stop", instance).code == 0
    own = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "sh", "-ec")
    machine.do(*own, f"mkdir -m 700 {directory}/closed; touch {directory}/closed/file; ln -s /etc {directory}/link")
    started = systemctl(machine, "start", instance)
    assert started.code == 0, machine.journal(f"openslides_rkt@{instance}.service")
    assert machine.do("ls", directory).split() == ["web.sock"]
    assert machine.do("stat", "--format=%U", directory, "/etc").split() == ["openslides", "root"]


def test_an_instance_that_ends_at_once_fails_and_tells_why_in_its_log(machine: Machine, instance: str) -> None:
    argv = ["rkt", HASH, "docker-x-3.3", "python3", "-c", "print('no module of that name'); raise SystemExit(7)"]
    write_service(machine, instance, argv=argv)
    assert systemctl(machine, "start", instance).code != 0
    assert "no module of that name\n" in log_of(machine, instance)
    assert calls(machine)[-1][0] == "rm"


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ["rkt", "--net=host", "docker-x-3.3", "python3", "-c", "0"]},
        {"argv": ["rkt", HASH, "docker-x-3.3", "python3", "-c", "0", "---", HASH, "--user=0"]},
        {"argv": ["/bin/sh", "-c", "touch /srv/owned"]},
        {"environment": {"A": "1\nUser=0"}},
    ],
    ids=repr,
)
def test_a_hostile_service_json_runs_nothing(machine: Machine, instance: str, changes: dict[str, object]) -> None:
    write_service(machine, instance, **changes)
    assert systemctl(machine, "start", instance).code != 0
    assert [call for call in calls(machine) if call[0] == "run"] == []
    assert "Refused" in log_of(machine, instance)


@pytest.mark.parametrize(("part", "target"), [("data", "/root"), ("public", "/etc"), ("settings.py", "/etc/shadow")])
def test_a_link_in_the_place_of_a_directory_runs_nothing(
    machine: Machine, instance: str, part: str, target: str
) -> None:
    directory = f"{INSTANCES}/{instance}"
    script = f"rm -rf {directory}/{part}; ln -s {target} {directory}/{part}"
    assert as_service_user(machine, "sh", "-ec", script).code == 0
    assert systemctl(machine, "start", instance).code != 0
    assert [call for call in calls(machine) if call[0] == "run"] == []


def test_a_link_in_the_place_of_the_log_shows_nothing_of_root_s(machine: Machine, instance: str) -> None:
    """The log is written with the service user's rights."""
    script = f"rmdir {INSTANCES}/{instance}/log; ln -s /root {INSTANCES}/{instance}/log"
    assert as_service_user(machine, "sh", "-ec", script).code == 0
    systemctl(machine, "start", instance)
    assert machine.run("test", "-e", "/root/instance.log").code == 1


def do_task(machine: Machine, timeout: float = 300, **wanted: object) -> Ran:
    argv = ("/usr/bin/python3", "-IS", f"{APP}/deployers/engines/rkt_task.py", json.dumps(wanted))
    return as_service_user(machine, *argv, timeout=timeout)


def command(code: str, **more: object) -> dict[str, object]:
    wanted = {"kind": "run", "image": HASH, "arguments": ["-c", code], "environment": {}, "reads": [], "writes": []}
    return {**wanted, **more}


def test_a_task_shows_what_it_prints_and_its_exit_code(machine: Machine) -> None:
    ran = do_task(machine, **command("import os; print('one'); print(os.environ['A']); raise SystemExit(7)",
                                     environment={"A": "two words"}))  # fmt: skip
    assert (ran.code, ran.output) == (7, "one\ntwo words\n")


def test_a_task_leaves_nothing(machine: Machine) -> None:
    before = machine.do("ls", WEB)
    machine.run("rm", "-f", CALLS)
    assert do_task(machine, **command("print('x')")).code == 0
    assert machine.do("ls", WEB) == before
    assert machine.do("ls", "/run/openslides/rkt") == ""
    assert "openslides_rkt_task@" not in machine.do("systemctl", "list-units", "--all", "--no-legend")
    assert [call[0] for call in calls(machine)] == ["image", "run", "rm"]


def test_a_task_that_nobody_waits_for_any_more_is_ended(machine: Machine) -> None:
    wanted = shlex.quote(json.dumps(command("import time; print('began', flush=True); time.sleep(600)")))
    program = f"/usr/bin/python3 -IS {APP}/deployers/engines/rkt_task.py"
    # Up to a minute until it has begun; then whoever waited for it is gone.
    script = f"""
        said=$(mktemp)
        {program} {wanted} > "$said" 2>&1 &
        for _ in $(seq 600); do grep -q began "$said" && break; sleep 0.1; done
        kill -KILL $!
        cat "$said"
        rm "$said"
    """
    assert "began" in as_service_user(machine, "sh", "-c", script).output
    deadline = time.monotonic() + 120
    while "openslides_rkt_task@" in machine.do("systemctl", "list-units", "--all", "--no-legend"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert machine.run("pgrep", "-u", str(UID)).output == ""
    assert machine.do("ls", WEB) == ""


def test_a_task_whose_unit_is_stopped_ends_its_pod_first(machine: Machine) -> None:
    """As at a shutdown. rkt does not remove a pod that runs."""
    machine.run("rm", "-f", CALLS)
    wanted = shlex.quote(json.dumps(command("import time; time.sleep(600)")))
    script = f"/usr/bin/python3 -IS {APP}/deployers/engines/rkt_task.py {wanted} >/dev/null 2>&1 &"
    assert as_service_user(machine, "sh", "-c", script).code == 0
    deadline = time.monotonic() + 60
    while not machine.run("pgrep", "-u", str(UID)).output:
        assert time.monotonic() < deadline, machine.journal("openslides_rkt_task@*")
        time.sleep(0.2)
    machine.do("systemctl", "stop", "openslides_rkt_task@*")
    assert [call[0] for call in calls(machine)] == ["image", "run", "rm"]
    assert calls(machine)[-1][-1] == "uid=0"
    assert machine.run("pgrep", "-u", str(UID)).output == ""
    deadline = time.monotonic() + 60
    while machine.do("ls", WEB) != "":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (command("0", image="--net=host"), "not the hash"),
        (command("0", writes=["/etc"]), "no place"),
        (command("0", reads=["/srv/openslides/versions/docker-nothing"]), "No such file"),
        ({"kind": "fetch", "image": "--insecure-options=all"}, "no image"),
        ({"kind": "discard", "image": "lab.local/web:1.0.0"}, "not the hash"),
        ({"kind": "gc"}, "no task"),
        ({}, "no task"),
    ],
    ids=repr,
)
def test_what_root_does_not_do_is_said(machine: Machine, wanted: dict[str, object], word: str) -> None:
    ran = do_task(machine, **wanted)
    assert ran.code == 126
    assert word in ran.output


def test_a_fetch_shows_its_progress_and_the_hash(machine: Machine) -> None:
    ran = do_task(machine, kind="fetch", image="docker://registry.example.org/openslides/openslides:3.3")
    assert ran.code == 0
    assert ran.output.splitlines()[-1].startswith("sha512-")


@pytest.fixture
def own_stage1(machine: Machine) -> Iterator[str]:
    """The hash of one that root has on the host, as rkt's manual has it."""
    put_images_in_the_store(machine)
    machine.do("mkdir", "-p", "/etc/rkt/stage1.d")
    location = "/etc/rkt/stage1-host.aci"
    settings = {"rktKind": "stage1", "rktVersion": "v1", "name": "coreos.com/rkt/stage1-host", "version": "1.30.0"}
    _write(machine, location, "a tar archive")
    _write(machine, "/etc/rkt/stage1.d/10-host.json", json.dumps({**settings, "location": location}))
    yield "sha512-" + hashlib.sha512(b"a tar archive").hexdigest()[:64]
    machine.do("rm", "-rf", "/etc/rkt", "/var/lib/rkt-stand-in/coming.json")
    put_images_in_the_store(machine)


def test_a_fetch_leaves_rkt_s_own_stage1_and_removes_another_of_that_name(machine: Machine, own_stage1: str) -> None:
    """The first pod of the host, started meanwhile, brings the former; the latter was fetched."""
    machine.run("rm", "-f", CALLS)
    evil = "sha512-" + "e" * 64
    coming = [{"id": image, "name": "coreos.com/rkt/stage1-host:1.30.0"} for image in (own_stage1, evil)]
    _write(machine, "/var/lib/rkt-stand-in/coming.json", json.dumps(coming))
    ran = do_task(machine, kind="fetch", image="docker://registry.example.org/openslides/openslides:3.3")
    assert ran.code == 126
    assert f"{evil} calls itself coreos.com/rkt/stage1" in ran.output
    assert [call[2] for call in calls(machine) if call[:2] == ["image", "rm"]] == [evil]


def test_a_first_pod_during_a_fetch_is_no_fault_of_the_fetch(machine: Machine, own_stage1: str) -> None:
    coming = [{"id": own_stage1, "name": "coreos.com/rkt/stage1-host:1.30.0"}]
    _write(machine, "/var/lib/rkt-stand-in/coming.json", json.dumps(coming))
    ran = do_task(machine, kind="fetch", image="docker://registry.example.org/openslides/openslides:3.3")
    assert ran.code == 0


def test_the_timer_s_unit_takes_dead_pods_and_what_was_unpacked_but_no_image(machine: Machine) -> None:
    templates = PROJECT / "deployers" / "setup" / "roles" / "rkt" / "templates"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(templates), undefined=jinja2.StrictUndefined)
    unit = environment.get_template("openslides_rkt_gc.service.j2").render(rkt_gc_grace_period="24h")
    _write(machine, "/etc/systemd/system/openslides_rkt_gc.service", unit)
    machine.do("systemctl", "daemon-reload")
    machine.run("rm", "-f", CALLS)
    machine.do("systemctl", "start", "openslides_rkt_gc.service")
    assert calls(machine) == [["gc", "--grace-period=24h", "uid=0"], ["image", "gc", "--grace-period=87600h", "uid=0"]]


def test_lists_come_without_the_complaints_that_rkt_makes_beside_them(machine: Machine) -> None:
    ran = do_task(machine, kind="pods")
    assert ran.output == (OUTPUTS / "pods_with_a_network.json").read_text()


def test_a_task_s_files_are_not_written_through_links(machine: Machine) -> None:
    number = secrets.token_hex(16)
    wanted = shlex.quote(json.dumps({"kind": "images"}))
    # Locked by nobody, so only what root itself does with the directory is seen.
    script = f"""
        mkdir -m 700 {WEB}/{number}; cd {WEB}/{number}; touch alive; printf %s {wanted} > task.json
        ln -s /root/evil output; ln -s /root/evil result; ln -s /root/evil result.new
        systemctl --no-ask-password start openslides_rkt_task@{number}.service || true; rm -rf {WEB}/{number}
    """
    assert as_service_user(machine, "sh", "-ec", script).code == 0
    assert machine.run("test", "-e", "/root/evil").code == 1


ENGINE = f"""
import sys; sys.path.insert(0, "{APP}")
from deployers.engines.rkt import Rkt
from deployers.layout import SystemdLayout
from deployers.spec import VersionSpec
rkt = Rkt(SystemdLayout(), {UID})
web, same = (VersionSpec("3.3", f"docker://registry.example.org/x/y:{{tag}}", "rkt") for tag in "12")
log = sys.stdout.write
def install(version):
    for name, action in rkt.install(version): action(log)
"""


@pytest.fixture
def image_with_openslides(machine: Machine) -> Iterator[None]:
    """The stand-in runs what the host has."""
    put_images_in_the_store(machine)
    machine.do("rm", "-f", CALLS)
    modules = "/usr/local/lib/python3.11/dist-packages"
    machine.do("mkdir", "-p", modules)
    for module in ("django", "rest_framework", "channels"):
        _write(machine, f"{modules}/{module}.py", "")
    _write(machine, f"{modules}/openslides.py", "__version__ = '3.3'")
    yield
    machine.do("sh", "-c", "rm -rf /srv/openslides/versions/*")
    put_images_in_the_store(machine)


def engine(machine: Machine, script: str) -> Ran:
    return as_service_user(machine, "python3", "-c", ENGINE + script)


@pytest.mark.usefixtures("image_with_openslides")
def test_the_control_plane_prepares_and_discards_a_version(machine: Machine) -> None:
    second = json.loads((OUTPUTS / "images.json").read_text())[1]["id"]
    ran = engine(machine, "install(web); print(rkt.release(web), rkt.missing(web), rkt.outdated(web, log))")
    assert ran.output.splitlines()[-1] == "3.3 None False"
    file = "/srv/openslides/versions/docker-registry.example.org-x-y-1/image.json"
    assert json.loads(machine.read(file)) == {
        "reference": "docker://registry.example.org/x/y:1", "image_id": second, "release": "3.3",
    }  # fmt: skip
    assert engine(machine, "rkt.discard(web)").code == 0
    asked = [" ".join(call[:3]) for call in calls(machine)]
    assert f"image rm {second}" in asked
    # That would take also what was unpacked for instances that sleep; the timer does it, at times.
    assert "image gc" not in " ".join(asked)


@pytest.mark.usefixtures("image_with_openslides")
def test_an_image_that_another_version_needs_stays(machine: Machine) -> None:
    ran = engine(machine, "install(web); install(same); rkt.discard(web); rkt.check(same); print(rkt.missing(web))")
    assert (ran.code, ran.output.splitlines()[-1]) == (0, "its image")


@pytest.mark.usefixtures("image_with_openslides")
def test_a_version_whose_image_somebody_removed_is_broken(machine: Machine) -> None:
    ran = engine(
        machine, "install(web); rkt._do(60, log, kind='discard', image=rkt._pinned(web).image_id); rkt.check(web)"
    )
    assert "is not in rkt's store any more" in ran.output


@pytest.mark.usefixtures("image_with_openslides")
def test_an_image_by_its_hash_is_looked_up_and_not_fetched(machine: Machine) -> None:
    script = (
        "by_hash = VersionSpec('3.3', 'sha512-6cb204a4', 'rkt'); install(by_hash); print(rkt._pinned(by_hash).image_id)"
    )
    assert engine(machine, script).output.splitlines()[-1] == HASH
    assert "fetch" not in [call[0] for call in calls(machine)]


@pytest.mark.usefixtures("image_with_openslides")
def test_a_fetch_that_is_refused_says_what_to_do(machine: Machine) -> None:
    ran = engine(machine, "install(VersionSpec('3.3', 'docker://registry.example.org/x/nosuch:1', 'rkt'))")
    assert "fetch: attempted fallback to API v1" in ran.output
    assert "the registry has no such image or tag" in ran.output
