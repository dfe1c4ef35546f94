"""What the control plane's side of the engine rkt writes, and that root's side takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployers.engines.engine import Process
from deployers.engines.rkt import Rkt
from deployers.engines.rkt_pod import INSIDE, SOCKETS, Host, instance_pod, rkt_fetch, task_pod
from deployers.errors import PreparationBroken, UnknownImage
from deployers.layout import SystemdLayout
from deployers.services.service import Service
from deployers.services.systemd import Systemd
from deployers.spec import VersionSpec

HASH = "sha512-" + "0f" * 32
INSTANCE = "0123456789abcdef" * 2
VERSION = VersionSpec("3.3", "docker://registry.example.org/openslides/openslides:3.3", "rkt")
HOST = Host(service_uid=998, service_gid=998, instance_uid=100999)


@pytest.fixture
def rkt() -> Rkt:
    return Rkt(SystemdLayout(), 100999)


@pytest.fixture
def prepared(tmp_path: Path) -> Rkt:
    engine = Rkt(SystemdLayout(tmp_path / "srv", tmp_path / "run"), 100999)
    directory = engine.layout.version(VERSION).directory
    directory.mkdir(parents=True)
    pinned = {"reference": VERSION.image, "image_id": HASH, "release": "3.3"}
    (directory / "image.json").write_text(json.dumps(pinned))
    return engine


def host_of(engine: Rkt) -> Host:
    return Host(998, 998, 100999, data=engine.layout.data_dir, web=engine.layout.runtime / "web")


def test_root_s_side_takes_what_a_service_is_made_of(prepared: Rkt) -> None:
    process = Process(("-m", "daphne"), {"HOME": "/x", "PATH": "/bin"}, reads=(Path("/etc"),), writes=(Path("/root"),))
    command = prepared.service(VERSION, process, INSTANCE)
    pod = instance_pod(
        host_of(prepared), INSTANCE, {"argv": list(command.argv), "environment": dict(command.environment)}
    )
    assert (pod.image, pod.arguments) == (HASH, ("-m", "daphne"))
    instance, version = prepared.layout.instance(INSTANCE), prepared.layout.version(VERSION)
    assert pod.reads == (instance.settings, instance.static, version.static)
    assert pod.writes == (instance.data, prepared.layout.web(INSTANCE))


def test_what_service_json_says_is_what_root_reads(prepared: Rkt) -> None:
    """The file as the service manager writes it."""
    command = prepared.service(VERSION, Process(("-m", "daphne"), {"HOME": "/x"}), INSTANCE)
    service = Service(INSTANCE, command.argv, command.environment, Path("/x.log"), engine="rkt")
    content = json.loads(json.dumps(Systemd(prepared.layout, ("rkt",), 100999)._content(service)))
    assert instance_pod(host_of(prepared), INSTANCE, content).image == HASH


def test_root_s_side_takes_what_a_management_command_is_made_of(prepared: Rkt) -> None:
    directory = prepared.layout.version(VERSION).directory
    process = Process(
        ("-m", "django", "migrate"),
        {"HOME": "/x", "PATH": "/usr/bin"},
        reads=(INSIDE, *SOCKETS, directory / "build"),
        writes=(directory,),
    )
    command = prepared.command(VERSION, process)
    wanted = json.loads(command.argv[-1])
    pod = task_pod(host_of(prepared), INSTANCE, wanted)
    assert wanted["kind"] == "run"
    assert (pod.reads, pod.writes) == ((directory / "build",), (directory,))
    assert pod.arguments == ("-m", "django", "migrate")
    assert pod.environment == {"HOME": "/x"}


def test_nothing_has_to_be_cleaned_up_by_the_service_user(prepared: Rkt) -> None:
    assert prepared.cleanup(INSTANCE) == ()


def test_an_image_that_was_not_fetched_is_not_run(rkt: Rkt) -> None:
    with pytest.raises(PreparationBroken, match="not fetched"):
        rkt.command(VersionSpec("9.9", "docker://example.org/other:1", "rkt"), Process((), {}))
    assert rkt.missing(VersionSpec("9.9", "docker://example.org/other:1", "rkt")) == "its image"


def test_an_image_of_podman_s_is_no_image_of_rkt_s(prepared: Rkt) -> None:
    file = prepared.layout.version(VERSION).directory / "image.json"
    file.write_text(json.dumps({"reference": VERSION.image, "image_id": "a" * 64, "release": "3.3"}))
    with pytest.raises(PreparationBroken, match="damaged"):
        prepared.service(VERSION, Process((), {}), INSTANCE)


def test_the_release_is_that_of_the_image(prepared: Rkt) -> None:
    assert prepared.release(VersionSpec("2.1", VERSION.image, "rkt")) == "3.3"


def test_before_the_preparation_the_release_is_that_of_the_name(rkt: Rkt) -> None:
    assert rkt.release(VersionSpec("2.3-plugins", "docker://example.org/openslides:2.3", "rkt")) == "2.3"


def test_an_image_that_is_not_unpacked_in_time_is_a_broken_preparation(
    prepared: Rkt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(600)")
    monkeypatch.setattr("deployers.engines.rkt.TASK", slow)
    prepared.timeout = 0.5
    with pytest.raises(PreparationBroken, match="not unpacked and run in time"):
        prepared._installed_release(HASH, VERSION)


IMAGES = [
    "docker://registry.example.org:5000/openslides/openslides:2.1",
    "/srv/openslides/images/openslides-3.3.aci",
    "https://example.org/openslides-3.3.aci",
    "lab.example.org/openslides:3.3",
]


@pytest.mark.parametrize("image", [*IMAGES, HASH, "sha512-0f0f0f0f0f0f"])
def test_images_that_can_be_named(rkt: Rkt, image: str) -> None:
    assert rkt.release(VersionSpec("3.3", image, "rkt")) == "3.3"


@pytest.mark.parametrize("image", IMAGES)
def test_root_s_side_fetches_what_can_be_named(image: str) -> None:
    assert rkt_fetch(image)[-1] == image


@pytest.mark.parametrize(
    "image",
    ["", "--insecure-options=all", "x", "docker://x/../y", "coreos.com/rkt/stage1-host:1.30.0", "a b", "a/b\n",
     "sha512-", "sha256:" + "0" * 64, "oci-archive:/x.tar"],
)  # fmt: skip
def test_what_could_be_an_option_or_a_part_of_rkt_is_no_image(rkt: Rkt, image: str) -> None:
    with pytest.raises(UnknownImage):
        rkt.release(VersionSpec("3.3", image, "rkt"))


def test_a_version_s_directory_is_a_name_that_root_takes(rkt: Rkt) -> None:
    for image in (*IMAGES, HASH):
        directory = rkt.layout.version(VersionSpec("3.3", image, "rkt")).directory.name
        service = {"argv": ["rkt", HASH, directory, "python3", "-m", "x"], "environment": {}}
        assert instance_pod(HOST, INSTANCE, service).reads[-1].parent.name == directory
