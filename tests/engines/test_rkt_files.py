"""How root reads what the service user wrote: never through a link, never somebody else's file."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.engines.rkt_files import (
    FILE_BYTES,
    acting_as,
    check_place,
    image_id,
    lies_on_overlay,
    open_without_links,
    own_stage1_images,
    read_host,
    read_json,
    stage1_location,
)
from deployers.engines.rkt_pod import Host, Refused

USER = 54321


@pytest.fixture
def host() -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root")
    # Not pytest's own directory, which nobody else may pass through.
    with tempfile.TemporaryDirectory(prefix="mi-rkt-") as name:
        data = Path(name)
        data.chmod(0o755)
        own = data / "own"
        own.mkdir(mode=0o711)
        os.chown(own, USER, USER)
        yield Host(service_uid=USER, service_gid=USER, instance_uid=100999, data=data)


def write(file: Path, content: str, owner: int = USER) -> Path:
    file.write_text(content)
    file.chmod(0o600)
    os.chown(file, owner, owner, follow_symlinks=False)
    return file


def test_a_file_of_the_service_user_is_read(host: Host) -> None:
    assert read_json(host, write(host.data / "own" / "service.json", '{"argv": []}')) == {"argv": []}


def test_root_is_root_again_afterwards(host: Host) -> None:
    groups = os.getgroups()
    with acting_as(host):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (USER, USER, [USER])
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


def test_a_secret_of_root_s_is_not_read_through_a_link(host: Host) -> None:
    secret = write(host.data / "secret.json", '{"secret": 1}', owner=0)
    link = host.data / "own" / "service.json"
    link.symlink_to(secret)
    with pytest.raises(Refused):
        read_json(host, link)


def test_nor_through_a_hard_link(host: Host) -> None:
    secret = write(host.data / "secret.json", '{"secret": 1}', owner=0)
    os.link(secret, host.data / "own" / "service.json")
    with pytest.raises(Refused):
        read_json(host, host.data / "own" / "service.json")


def test_nor_through_a_directory_that_is_a_link(host: Host) -> None:
    elsewhere = host.data / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere / "service.json", "{}")
    (host.data / "own" / "instance").symlink_to(elsewhere)
    with pytest.raises(Refused, match="links are not followed"):
        read_json(host, host.data / "own" / "instance" / "service.json")


def test_a_file_that_everybody_can_read_is_still_not_the_service_user_s(host: Host) -> None:
    file = write(host.data / "own" / "service.json", "{}", owner=0)
    file.chmod(0o644)
    with pytest.raises(Refused, match="is not a file of the user"):
        read_json(host, file)


def test_a_fifo_is_not_waited_for(host: Host) -> None:
    fifo = host.data / "own" / "service.json"
    os.mkfifo(fifo, 0o600)
    os.chown(fifo, USER, USER)
    with pytest.raises(Refused):
        read_json(host, fifo)


def test_a_huge_file_is_not_read(host: Host) -> None:
    file = write(host.data / "own" / "service.json", '{"argv": []}' + " " * FILE_BYTES)
    with pytest.raises(Refused, match="larger"):
        read_json(host, file)


@pytest.mark.parametrize("content", ["", "[]", '"x"', "{", "[" * 100_000, '{"a": "\\ud800"'])
def test_what_is_no_object_is_refused(host: Host, content: str) -> None:
    with pytest.raises(Refused):
        read_json(host, write(host.data / "own" / "service.json", content))


def test_a_place_of_the_service_user_is_taken(host: Host) -> None:
    check_place(host, host.data / "own")
    check_place(host, write(host.data / "own" / "settings.py", ""))


def test_a_place_that_is_a_link_is_refused(host: Host) -> None:
    link = host.data / "own" / "data"
    link.symlink_to("/etc")
    os.chown(link, USER, USER, follow_symlinks=False)
    with pytest.raises(Refused, match="is a link"):
        check_place(host, link)
    with pytest.raises(Refused):
        check_place(host, link / "ssl")


@pytest.mark.parametrize("path", ["/etc", "/root", "/etc/shadow", "/nowhere"])
def test_a_place_of_somebody_else_is_refused(host: Host, path: str) -> None:
    with pytest.raises(Refused):
        check_place(host, Path(path))


def test_a_device_or_socket_is_no_place(host: Host) -> None:
    fifo = host.data / "own" / "fifo"
    os.mkfifo(fifo)
    os.chown(fifo, USER, USER)
    with pytest.raises(Refused, match="neither"):
        check_place(host, fifo)


def test_upwards_is_not_a_way_past_a_link(host: Host) -> None:
    (host.data / "own" / "link").symlink_to("/etc/ssl")
    with pytest.raises(Refused):
        open_without_links(host.data / "own" / "link" / ".." / "passwd", os.O_RDONLY)


def test_no_descriptor_is_left_open(host: Host) -> None:
    file = write(host.data / "own" / "service.json", "{}")
    (host.data / "own" / "link").symlink_to("/etc")
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        read_json(host, file)
        check_place(host, file)
        for path in (host.data / "own" / "link", host.data / "own" / "link" / "passwd", host.data / "nothing" / "x"):
            with pytest.raises(Refused):
                check_place(host, path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_stage1_that_is_no_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployers.engines.rkt_files.SERVICE_USER", "root")
    (tmp_path / "mountinfo").write_text(PLAIN)
    file = tmp_path / "host.json"
    file.write_text('{"instance_uid": 100999}')
    found = read_host(file, tmp_path / "mountinfo", [tmp_path / "stage1.d"])
    assert replace(found, service_uid=1, service_gid=1) == Host(1, 1, 100999)
    file.write_text('{"instance_uid": 100999, "rkt_stage1": "--net=host"}')
    with pytest.raises(Refused, match="rkt_stage1"):
        read_host(file)


PLAIN = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
"""
BOOTED = """\
101 50 0:44 / / rw,relatime - overlay host rw,lowerdir=/lower,upperdir=/upper,workdir=/work
102 101 0:45 / /run rw,nosuid,nodev shared:5 master:2 - tmpfs tmpfs rw,mode=755
"""
DISK = "103 101 254:2 / /var/lib/rkt rw,relatime shared:7 - ext4 /dev/vdb rw\n"


@pytest.mark.parametrize(
    ("mounts", "overlay"),
    [
        (PLAIN, False),
        (BOOTED, True),
        (BOOTED + DISK, False),
        (BOOTED + DISK.replace("/var/lib/rkt", "/var/lib"), False),
        (BOOTED + DISK.replace("/var/lib/rkt", "/var/lib/rkt-stand-in"), True),
        (BOOTED + DISK.replace("/var/lib/rkt", "/var/lib/rkt/pods"), True),
        (DISK + BOOTED, False),
        # Of two on one point, the later one is seen.
        (PLAIN + BOOTED, True),
        (BOOTED + PLAIN, False),
        # No optional fields, and many; a name that is only a part of what is a type elsewhere.
        (PLAIN + BOOTED.replace(" - ", " shared:1 master:2 propagate_from:2 - "), True),
        (PLAIN.replace("/dev/vda1", "overlay"), False),
        ("", False),
    ],
)
def test_whether_rkt_s_directory_lies_on_an_overlay(mounts: str, overlay: bool) -> None:
    assert lies_on_overlay(mounts, Path("/var/lib/rkt")) is overlay


def test_a_mount_point_with_a_space() -> None:
    assert not lies_on_overlay(BOOTED + DISK.replace("/var/lib/rkt", "/var/my\\040rkt"), Path("/var/my rkt"))


def test_what_this_machine_says_of_its_own_mounts_can_be_read(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    assert lies_on_overlay(mounts, Path("/proc/self/fd")) is False


@pytest.fixture
def stage1(tmp_path: Path) -> Path:
    """As `rkt config` prints it."""
    (tmp_path / "stage1.d").mkdir()
    file = tmp_path / "stage1-host.aci"
    text = '{"rktKind": "stage1", "rktVersion": "v1", "name": "coreos.com/rkt/stage1-host", "version": "1.30.0", '
    (tmp_path / "stage1.d" / "10-host.json").write_text(text + f'"location": "{file}"}}')
    file.write_bytes(b"a tar archive")
    return file


def test_where_rkt_s_configuration_says_its_stage1_is(tmp_path: Path, stage1: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert stage1_location([nowhere, tmp_path / "stage1.d"]) == str(stage1)
    assert stage1_location([nowhere]) == ""


def test_damaged_settings_of_rkt_are_for_rkt_to_complain_of(tmp_path: Path, stage1: Path) -> None:
    for name, text in (("20-a.json", "{"), ("30-b.json", "[]"), ("40-c.json", "{}"), ("50-d.json", "\xff")):
        (tmp_path / "stage1.d" / name).write_text(text, encoding="latin-1")
    assert stage1_location([tmp_path / "stage1.d"]) == str(stage1)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_image_s_hash_is_that_of_the_uncompressed_archive(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "x.aci").write_bytes(compress(b"a tar archive" * 10_000))
    assert image_id(tmp_path / "x.aci") == "sha512-" + hashlib.sha512(b"a tar archive" * 10_000).hexdigest()[:64]


def test_root_s_own_stage1_is_known_by_its_hash(tmp_path: Path, stage1: Path) -> None:
    host = Host(1, 1, 100999, stage1_location=str(stage1))
    own = {"sha512-" + hashlib.sha512(b"a tar archive").hexdigest()[:64]}
    assert own_stage1_images(host, []) == own
    assert own_stage1_images(replace(host, stage1_location=f"file://{stage1}"), []) == own
    # Where rkt looks without being told.
    assert own_stage1_images(replace(host, stage1_location=""), [tmp_path / "nowhere", tmp_path]) == own
    pinned = "sha512-" + "0f" * 32
    assert own_stage1_images(replace(host, stage1=pinned), []) == {*own, pinned}


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08damaged", b"BZhdamaged", b"\xfd7zXZ\x00damaged", None])
def test_a_stage1_that_cannot_be_read_is_none_that_was_imported(stage1: Path, content: bytes | None) -> None:
    stage1.unlink()
    if content is not None:
        stage1.write_bytes(content)
    own = own_stage1_images(Host(1, 1, 100999, stage1_location=str(stage1)), [])
    assert own == (set() if content != b"" else {"sha512-" + hashlib.sha512(b"").hexdigest()[:64]})


def test_a_stage1_from_the_network_has_no_file() -> None:
    assert own_stage1_images(Host(1, 1, 100999, stage1_location="https://example.org/stage1.aci"), []) == set()
