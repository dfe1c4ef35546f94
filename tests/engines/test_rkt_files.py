"""How root reads what the service user wrote: never through a link, never somebody else's file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.engines.rkt_files import FILE_BYTES, acting_as, check_place, open_without_links, read_host, read_json
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
    file = tmp_path / "host.json"
    file.write_text('{"instance_uid": 100999}')
    assert replace(read_host(file), service_uid=1, service_gid=1) == Host(1, 1, 100999)
    file.write_text('{"instance_uid": 100999, "rkt_stage1": "--net=host"}')
    with pytest.raises(Refused, match="rkt_stage1"):
        read_host(file)
