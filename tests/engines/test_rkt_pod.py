"""What rkt is told to run, and which wishes of the service user are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployers.engines.rkt_pod import (
    Host,
    Pod,
    Refused,
    instance_pod,
    mount_points,
    rkt_fetch,
    rkt_run,
    task_place,
    task_pod,
)

HOST = Host(service_uid=998, service_gid=998, instance_uid=100999, inside=Path("/opt/app/inside"))
INSTANCE = "0123456789abcdef" * 2
HASH = "sha512-" + "0f" * 32
DIRECTORY = f"/srv/openslides/instances/{INSTANCE}"
OUTPUTS = Path(__file__).with_name("rkt_outputs")
SOCKET = Path("/run/postgresql")


def service(**changes: Any) -> dict[str, Any]:
    argv = ["rkt", HASH, "docker-example.org-openslides-3.3", "python3", "-m", "django", "check"]
    return {"argv": argv, "environment": {"HOME": "/data", "PATH": "/usr/bin"}, **changes}


def test_the_whole_command_of_an_instance() -> None:
    pod = instance_pod(HOST, INSTANCE, service())
    assert rkt_run(HOST, pod, HOST.uuid_file(INSTANCE), [SOCKET], ["volume-data"]) == [
        "rkt", "run",
        f"--uuid-file-save=/run/openslides/rkt/{INSTANCE}.uuid",
        "--net=none",
        "--insecure-options=image",
        "--volume", "openslides-0,kind=host,source=/opt/app/inside,readOnly=true",
        "--volume", f"openslides-1,kind=host,source=/run/openslides/web/{INSTANCE}",
        "--volume", "openslides-2,kind=host,source=/run/postgresql,readOnly=true",
        "--volume", f"openslides-3,kind=host,source={DIRECTORY}/data",
        "--volume", f"openslides-4,kind=host,source={DIRECTORY}/public/static,readOnly=true",
        "--volume", f"openslides-5,kind=host,source={DIRECTORY}/settings.py,readOnly=true",
        "--volume", "openslides-6,kind=host,source=/srv/openslides/versions/docker-example.org-openslides-3.3/static,"
                    "readOnly=true",
        "--volume", "volume-data,kind=empty,mode=0700,uid=100999,gid=100999",
        "--set-env=HOME=/data",
        HASH,
        f"--name=openslides-{INSTANCE}", "--user=100999", "--group=100999",
        "--seccomp=mode=retain,errno=ENOSYS,@rkt/default-whitelist",
        "--mount", "volume=openslides-0,target=/opt/app/inside",
        "--mount", f"volume=openslides-1,target=/run/openslides/web/{INSTANCE}",
        "--mount", "volume=openslides-2,target=/run/postgresql",
        "--mount", f"volume=openslides-3,target={DIRECTORY}/data",
        "--mount", f"volume=openslides-4,target={DIRECTORY}/public/static",
        "--mount", f"volume=openslides-5,target={DIRECTORY}/settings.py",
        "--mount", "volume=openslides-6,target=/srv/openslides/versions/docker-example.org-openslides-3.3/static",
        "--exec", "python3", "--",
        "-ISc", "import os, sys; os.umask(7); os.execvp(sys.argv[1], sys.argv[1:])",
        "python3", "-m", "django", "check",
    ]  # fmt: skip


def options_of_a_pod(host: Host) -> list[str]:
    argv = rkt_run(host, Pod("x", HASH, ("-c", "0"), {}), Path("/run/x.uuid"), [], [])
    return argv[: argv.index(HASH)]


def test_a_pinned_stage1_is_what_runs_and_nothing_is_left_unchecked() -> None:
    options = options_of_a_pod(replace(HOST, stage1=HASH))
    assert f"--stage1-hash={HASH}" in options
    assert "insecure" not in " ".join(options)


@pytest.mark.parametrize("location", ["", "/usr/local/lib/stage1-host.aci", "file:///srv/stage1.aci"])
def test_root_s_own_stage1_needs_no_signature(location: str) -> None:
    assert "--insecure-options=image" in options_of_a_pod(replace(HOST, stage1_location=location))


def test_a_stage1_that_rkt_downloads_is_checked() -> None:
    host = replace(HOST, stage1_location="https://example.org/stage1-host.aci")
    assert "insecure" not in " ".join(options_of_a_pod(host))


def test_on_an_overlay_rkt_makes_no_other() -> None:
    assert "--no-overlay" in options_of_a_pod(replace(HOST, on_overlay=True))
    assert "--no-overlay" not in options_of_a_pod(HOST)


def test_a_directory_is_given_once_and_may_be_changed_if_a_part_may() -> None:
    version = Path("/srv/openslides/versions/x")
    pod = Pod("x", HASH, ("-c", "0"), {}, reads=(version / "build",), writes=(version,))
    argv = rkt_run(HOST, pod, Path("/run/x.uuid"), [], [])
    assert [word for word in argv if str(version) in word] == [
        f"openslides-1,kind=host,source={version}",
        f"volume=openslides-1,target={version}",
    ]


def test_arguments_that_look_like_options_come_after_what_ends_options() -> None:
    pod = instance_pod(HOST, INSTANCE, service(argv=["rkt", HASH, "x", "python3", "--net=host", "--", "--user=0"]))
    argv = rkt_run(HOST, pod, HOST.uuid_file(INSTANCE), [], [])
    assert argv[argv.index("--exec") :] == [
        "--exec", "python3", "--",
        "-ISc", "import os, sys; os.umask(7); os.execvp(sys.argv[1], sys.argv[1:])",
        "python3", "--net=host", "--", "--user=0",
    ]  # fmt: skip


HOSTILE: list[dict[str, Any]] = [
    {"argv": None},
    {"argv": "rkt"},
    {"argv": ["rkt", HASH, "x", "python3"]},
    {"argv": ["sh", HASH, "x", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "x", "sh", "-c", "0"]},
    {"argv": ["rkt", "--insecure-options=all", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", "--net=host", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", "docker://example.org/x/y:1", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", "sha512-0f", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH + "0", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH + "\n", "x", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "..", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "x/../../etc", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "x,source=/etc", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "a..b", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "-x", "python3", "-c", "0"]},
    {"argv": ["rkt", HASH, "x", "python3", "-c", "0\nUser=0"]},
    {"argv": ["rkt", HASH, "x", "python3", "-c", "%n"]},
    {"argv": ["rkt", HASH, "x", "python3", "-c", "0", "---", HASH, "--user=0", "--exec", "/bin/sh"]},
    {"argv": ["rkt", HASH, "x", "python3", "-c", 0]},
    {"argv": ["rkt", HASH, "x", "python3", ["-c"]]},
    {"environment": None},
    {"environment": ["HOME=/"]},
    {"environment": {"HOME": 1}},
    {"environment": {"home": "/"}},
    {"environment": {"A=B --net": "host"}},
    {"environment": {"--net": "host"}},
    {"environment": {"HOME": "/\nLD_PRELOAD=/x"}},
    {"environment": {"HOME": "\x00"}},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=repr)
def test_a_hostile_service_json_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        instance_pod(HOST, INSTANCE, service(**changes))


def test_nothing_else_of_service_json_counts() -> None:
    more = {
        "user": 0,
        "reads": ["/etc"],
        "writes": ["/"],
        "volumes": ["/:/"],
        "options": ["--net=host"],
        "cleanup": ["x"],
    }
    assert instance_pod(HOST, INSTANCE, service(**more)) == instance_pod(HOST, INSTANCE, service())


@pytest.mark.parametrize(
    "path",
    [
        "/srv/openslides/versions/docker-x-openslides-3.3",
        "/srv/openslides/versions/docker-x-openslides-3.3.coming",
        "/srv/openslides/versions/x/build",
        "/srv/openslides/versions/x/static",
        f"{DIRECTORY}/data",
        f"{DIRECTORY}/settings.py",
        f"{DIRECTORY}/public/static",
        f"{DIRECTORY}/previous/20261123-1_a/migrate",
    ],
)
def test_places_of_management_commands(path: str) -> None:
    assert task_place(HOST, path) == Path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/etc", "/root", "/srv/openslides", "/srv/openslides/versions", "/srv/openslides/home",
        "/srv/openslides/control", "/srv/openslides/instances", DIRECTORY, f"{DIRECTORY}/log", f"{DIRECTORY}/data/..",
        f"{DIRECTORY}/previous/../migrate", f"{DIRECTORY}/previous/a/b/migrate", "/srv/openslides/versions/..",
        "/srv/openslides/versions/x/../../../../etc", "/srv/openslides/versions/x,readOnly=false", "relative",
        "/srv/openslides/versions/.x", "/srv/openslidesX/versions/x", f"/x/srv/openslides/instances/{INSTANCE}/data",
        "/run/openslides/control", "",
    ],
)  # fmt: skip
def test_other_places_are_not_given(path: str) -> None:
    with pytest.raises(Refused):
        task_place(HOST, path)


def test_a_task_is_what_it_asks_for() -> None:
    wanted = {
        "image": HASH,
        "arguments": ["-m", "django", "migrate"],
        "environment": {"HOME": "/x"},
        "reads": ["/srv/openslides/versions/x/build"],
        "writes": ["/srv/openslides/versions/x"],
    }
    pod = task_pod(HOST, INSTANCE, wanted)
    assert pod.arguments == ("-m", "django", "migrate")
    assert (pod.reads, pod.writes) == (
        (Path("/srv/openslides/versions/x/build"),),
        (Path("/srv/openslides/versions/x"),),
    )


@pytest.mark.parametrize(
    ("reference", "insecure"),
    [
        ("docker://registry.example.org/openslides/openslides:2.3", "image"),
        ("docker://registry.example.org:5000/x/y@sha256:" + "0" * 64, "image"),
        ("docker://127.0.0.1:5077/lab/web:1", "image,http"),
        ("docker://localhost/lab/web:1", "image,http"),
        ("docker://localhost.example.org/lab/web:1", "image"),
        ("docker://127.0.0.1.example.org/lab/web:1", "image"),
        ("https://example.org/images/openslides-3.3.aci", "image"),
        ("/srv/openslides/images/openslides-3.3.aci", "image"),
        ("lab.local/web:1.0.0", "image"),
    ],
)
def test_what_is_fetched_and_how(reference: str, insecure: str) -> None:
    options = ["--full", f"--insecure-options={insecure}", "--pull-policy=update"]
    assert rkt_fetch(reference) == ["rkt", "fetch", *options, reference]


@pytest.mark.parametrize(
    "reference",
    [
        "", None, 1, ["x"], "--insecure-options=all", "-x", "docker://-x/y", "docker://x", "docker://x/y --dir=/",
        "docker://x/y\n--dir=/", "docker://user:password@example.org/x/y", "/etc/passwd", "/srv/../etc/x.aci", "x.aci",
        "./x.aci", "file:///etc/x.aci", "https://example.org/../x.aci", "https://example.org/x", "ftp://x/y.aci",
        "image", HASH, "coreos.com/rkt/stage1-coreos:1.30.0", "docker://coreos.com/rkt/stage1-host:1.30.0",
    ],
)  # fmt: skip
def test_what_is_not_fetched(reference: object) -> None:
    with pytest.raises(Refused):
        rkt_fetch(reference)


def test_the_mount_points_of_a_real_manifest() -> None:
    assert mount_points((OUTPUTS / "manifest.json").read_text()) == ["data"]


def manifest(change: Callable[[dict[str, Any]], Any]) -> str:
    read = json.loads((OUTPUTS / "manifest.json").read_text())
    change(read)
    return json.dumps(read)


@pytest.mark.parametrize(
    "change",
    [
        lambda read: read["app"].update(workingDirectory="/\nUser=0"),
        lambda read: read["app"].update(workingDirectory="/x\\"),
        lambda read: read["app"].update(workingDirectory="%h"),
        lambda read: read["app"].update(eventHandlers=[{"name": "pre-start", "exec": ["/bin/true"]}]),
        lambda read: read["app"].update(supplementaryGIDs=[0]),
        lambda read: read["app"]["environment"].append({"name": "X", "value": "1\nUser=0"}),
        lambda read: read["app"].update(isolators=[{"name": "x", "value": {"set": ["CAP_CHOWN\nUser=0"]}}]),
        lambda read: read["app"]["mountPoints"].append({"name": "data,source=/etc", "path": "/x"}),
        lambda read: read["app"]["mountPoints"].append({"name": "openslides-1", "path": "/x"}),
        lambda read: read["app"]["mountPoints"].append({"name": "--net", "path": "/x"}),
        lambda read: read.update(name="coreos.com/rkt/stage1-host"),
    ],
)
def test_an_image_that_wants_more_than_openslides_is_not_run(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(Refused):
        mount_points(manifest(change))


def test_a_script_in_the_image_s_exec_is_harmless() -> None:
    """Nothing of it is run, and no unit file has it."""
    assert mount_points(manifest(lambda read: read["app"].update(exec=["/bin/sh", "-c", "cd /app\nexec daphne"]))) == [
        "data"
    ]


def test_an_image_without_an_app_has_no_mount_points() -> None:
    assert mount_points('{"acKind": "ImageManifest", "name": "x.example.org/y"}') == []
