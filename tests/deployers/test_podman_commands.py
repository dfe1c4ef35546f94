"""What podman is told, and what it is never told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployers.engines.engine import Process
from deployers.engines.podman import Podman, PodmanSettings
from deployers.errors import PreparationBroken, UnknownImage
from deployers.layout import SystemdLayout
from deployers.spec import VersionSpec

IMAGE_ID = "a" * 64
VERSION = VersionSpec("3.3", "localhost/openslides:3.3", "podman")
SEPARATED = {
    "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--user=1000:1000",
    "--pull=never", "--cgroups=disabled",
}  # fmt: skip


@pytest.fixture
def podman(tmp_path: Path) -> Podman:
    layout = SystemdLayout(tmp_path / "srv", tmp_path / "run")
    engine = Podman(layout, PodmanSettings(home=tmp_path / "home", runtime=tmp_path / "run"))
    directory = layout.version(VERSION).directory
    directory.mkdir(parents=True)
    pinned = {"reference": VERSION.image, "image_id": IMAGE_ID, "release": "3.3"}
    (directory / "image.json").write_text(json.dumps(pinned))
    return engine


LOG = "--log-opt=path=/srv/log"

PROCESS = Process(
    ("-m", "django", "migrate"),
    {"HOME": "/data", "PATH": "/usr/bin"},
    reads=(Path("/srv/a"), Path("/srv/b")),
    writes=(Path("/srv/b"),),
    log=Path("/srv/log"),
)


def test_a_command_sees_what_it_is_given_and_nothing_else(podman: Podman) -> None:
    argv = podman.command(VERSION, PROCESS).argv
    options, command = argv[: argv.index(IMAGE_ID)], argv[argv.index(IMAGE_ID) + 1 :]
    assert set(options) >= SEPARATED
    assert [option for option in options if option.startswith("--volume")] == [
        "--volume=/srv/a:/srv/a:ro",
        "--volume=/srv/b:/srv/b:rw",
    ]
    assert command == ("python3", "-m", "django", "migrate")


def test_the_path_of_programs_is_the_image_s_own(podman: Podman) -> None:
    options = podman.command(VERSION, PROCESS).argv
    assert [option for option in options if option.startswith("--env")] == ["--env=HOME=/data"]


def test_a_service_is_detached_and_has_the_name_of_its_instance(podman: Podman) -> None:
    argv = podman.service(VERSION, PROCESS, "f" * 32).argv
    name = f"openslides-{'f' * 32}"
    assert set(argv) >= {*SEPARATED, "-d", "--rm", "--replace", "--init", "--sdnotify=conmon", name, LOG}
    assert name in podman.cleanup("f" * 32)


def test_an_image_is_run_by_its_id_and_not_by_a_name_that_may_move(podman: Podman) -> None:
    argv = podman.command(VERSION, PROCESS).argv
    assert IMAGE_ID in argv
    assert VERSION.image not in argv


def test_before_the_preparation_the_release_is_that_of_the_name(podman: Podman) -> None:
    assert podman.release(VersionSpec("2.3-plugins", "docker.io/openslides/openslides:2.3", "podman")) == "2.3"


def test_an_image_that_was_not_fetched_is_not_run(podman: Podman) -> None:
    with pytest.raises(PreparationBroken, match="not fetched"):
        podman.command(VersionSpec("9.9", "localhost/other:1", "podman"), PROCESS)


@pytest.mark.parametrize(
    "image",
    ["--privileged", "-v=/:/host", "localhost/x --privileged", "localhost/../etc", "oci-archive:relative.tar", "",
     "a\nb", "dir:/etc", "docker-daemon:x", "containers-storage:x"],
)  # fmt: skip
def test_what_could_be_an_option_or_another_place_is_no_image(podman: Podman, image: str) -> None:
    with pytest.raises(UnknownImage):
        podman.release(VersionSpec("3.3", image, "podman"))


@pytest.mark.parametrize(
    "image",
    ["localhost/openslides:3.3", "docker.io/openslides/openslides:2.1", "docker://registry.example.org:5000/x/y:1",
     "oci-archive:/srv/openslides/images/openslides-3.3.tar", "quay.io/x/y@sha256:" + "0" * 64],
)  # fmt: skip
def test_references_that_podman_takes_are_taken(podman: Podman, image: str) -> None:
    assert podman.release(VersionSpec("3.3-x", image, "podman")) == "3.3"


def test_podman_is_configured_by_files_of_root_s(podman: Podman) -> None:
    environment = podman.command(VERSION, PROCESS).environment
    assert environment["CONTAINERS_CONF"] == "/etc/openslides-multiinstance/containers.conf"
    assert environment["CONTAINERS_STORAGE_CONF"] == "/etc/openslides-multiinstance/storage.conf"
    assert podman.service(VERSION, PROCESS, "f" * 32).environment == environment
