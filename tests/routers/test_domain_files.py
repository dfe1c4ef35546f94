"""Domain files as an attacker with the service user's rights could write them, and certificates that cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deployers.routers.domain_file import MOST_BYTES
from tests.routers.nginx_host import DOMAIN
from tests.routers.offline import Offline
from tests.tools import require

ROOT = os.geteuid() == 0


def fields(**changed: object) -> str:
    return json.dumps({"id": 7, "domain": DOMAIN, "certificate": None, "certificate_key": None, **changed})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("root:*:19000:0:99999:7:::\n", "not JSON"),
        ("[" * 50_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[]", "fields"),
        ('"text"', "fields"),
        (json.dumps({"id": 7, "domain": DOMAIN}), "fields"),
        (fields(include="/etc/shadow"), "fields"),
        (fields(id=8), "id"),
        (fields(id="7"), "id"),
        (fields(id=True), "id"),
        (fields(id=7.0), "id"),
        (fields(domain=None), "domain name"),
        (fields(domain=""), "domain name"),
        (fields(domain='a.example"; include /etc/shadow; #'), "domain name"),
        (fields(domain="a.example$; }"), "domain name"),
        (fields(domain="a.example\n"), "domain name"),
        (fields(domain="a.example\nreturn 200;"), "domain name"),
        (fields(domain="a..example"), "domain name"),
        (fields(domain="-a.example"), "domain name"),
        (fields(domain="A.example"), "domain name"),
        (fields(domain="ä.example"), "domain name"),
        (fields(domain="~^(.*)$"), "domain name"),
        (fields(domain="*.example"), "domain name"),
        (fields(domain=".".join(["a" * 63] * 3)), "domain name"),
        (fields(certificate="/etc/ssl/a.pem"), "together"),
        (fields(certificate="/a/../etc/shadow", certificate_key="/a/k"), "path"),
        (fields(certificate="a.pem", certificate_key="a.key"), "path"),
        (fields(certificate='/a"; include /etc/shadow; "', certificate_key="/a/k"), "path"),
        (fields(certificate="/a/$host.pem", certificate_key="/a/k"), "path"),
        (fields(certificate="/a/data:x\n", certificate_key="/a/k"), "path"),
        (fields(certificate="/a/x\u0000", certificate_key="/a/k"), "path"),
        (fields(certificate=["/a"], certificate_key={"a": 1}), "path"),
        (fields(certificate="data:x", certificate_key="engine:x:y"), "path"),
    ],
)
def test_a_hostile_file_becomes_no_block(offline: Offline, content: str | bytes, reason: str) -> None:
    offline.write("7.json", content)
    offline.domain(8, "good.example")
    result = offline.run()
    assert not result.domains["7"].ok
    assert reason in result.domains["7"].reason
    assert result.domains["8"].ok
    assert set(offline.blocks) == {"00-shared.conf", "8.conf"}


def test_a_file_that_is_too_large_is_not_read(offline: Offline) -> None:
    offline.write("7.json", fields() + " " * MOST_BYTES)
    assert "larger" in offline.run().domains["7"].reason


def test_a_link_to_a_secret_is_not_followed_and_nothing_of_it_is_shown(offline: Offline) -> None:
    secret = offline.tree.root / "shadow"
    secret.write_text("root:secret:19000\n")
    (offline.tree.layout.domains / "7.json").symlink_to(secret)
    os.link(secret, offline.tree.layout.domains / "8.json")
    result = offline.run()
    assert "symbolic link" in result.domains["7"].reason
    assert "hard link" in result.domains["8"].reason
    assert "secret" not in offline.tree.layout.domains_result.read_text()
    assert "secret" not in "".join(offline.said)


def test_the_content_of_a_bad_file_is_never_repeated(offline: Offline) -> None:
    offline.write("7.json", fields(domain="secret value"))
    offline.write("8.json", "secret value")
    offline.write("9.json", fields(id=9, certificate="/secret value", certificate_key="/secret value"))
    offline.run()
    assert "secret value" not in offline.tree.layout.domains_result.read_text()
    assert "secret value" not in "".join(offline.said)


def test_a_fifo_or_a_directory_does_not_hold_it_up(offline: Offline) -> None:
    os.mkfifo(offline.tree.layout.domains / "7.json")
    (offline.tree.layout.domains / "8.json").mkdir()
    result = offline.run()
    assert [result.domains[key].reason for key in ("7", "8")] == ["it is not a regular file"] * 2


@pytest.mark.skipif(not ROOT, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_not_used(offline: Offline) -> None:
    os.chown(offline.write("7.json", fields()), 65534, 65534)
    assert "belongs" in offline.run().domains["7"].reason


@pytest.mark.skipif(not ROOT, reason="only root can give a directory to another user")
def test_the_files_of_the_directorys_owner_are_used(offline: Offline) -> None:
    os.chown(offline.tree.layout.domains, 65534, 65534)
    os.chown(offline.write("7.json", fields()), 65534, 65534)
    assert offline.run().domains["7"].ok


@pytest.mark.parametrize("name", ["x.json", "07.json", "0.json", "7.json.new", "-7.json", "7.conf", "12345678901.json"])
def test_other_names_are_not_domains(offline: Offline, name: str) -> None:
    offline.write(name, fields())
    assert not offline.run().domains


def test_a_link_in_place_of_the_directory_is_refused(offline: Offline, tmp_path: Path) -> None:
    offline.tree.layout.domains.rmdir()
    offline.tree.layout.domains.symlink_to(tmp_path)
    with pytest.raises(OSError):
        offline.run()
    assert not offline.blocks


def test_two_domains_cannot_have_one_name(offline: Offline) -> None:
    offline.domain(1)
    offline.domain(2)
    result = offline.run()
    assert result.domains["1"].ok
    assert result.domains["2"].reason == "domain 1 has the same name"


# Certificates


def test_a_certificate_outside_of_the_hosts_directories_is_refused(offline: Offline, tmp_path: Path) -> None:
    certificate, key = offline.tree.certificate("own")
    for path in (certificate, key):
        (tmp_path / Path(path).name).write_bytes(Path(path).read_bytes())
    offline.domain(1, DOMAIN, str(tmp_path / "own.pem"), str(tmp_path / "own.key"))
    assert "does not lie in a directory for certificates" in offline.run().domains["1"].reason


def test_a_link_out_of_the_hosts_directories_is_refused(offline: Offline, tmp_path: Path) -> None:
    certificate, key = offline.tree.certificate("own")
    (tmp_path / "own.key").write_bytes(Path(key).read_bytes())
    Path(key).unlink()
    Path(key).symlink_to(tmp_path / "own.key")
    offline.domain(1, DOMAIN, certificate, key)
    assert "does not lie in a directory for certificates" in offline.run().domains["1"].reason


def test_a_missing_certificate_is_named(offline: Offline) -> None:
    missing = str(offline.tree.certificates / "none.pem")
    offline.domain(1, DOMAIN, missing, missing)
    assert offline.run().domains["1"].reason == f"{missing} does not exist. Put it there, or name another"


def test_a_certificate_and_another_ones_key_are_refused(offline: Offline) -> None:
    first, second = offline.tree.certificate("first"), offline.tree.certificate("second")
    offline.domain(1, DOMAIN, first[0], second[1])
    assert "is not the key of" in offline.run().domains["1"].reason


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(offline: Offline) -> None:
    certificate, key = offline.tree.certificate("own")
    openssl = require("openssl", "openssl")
    subprocess.run(
        [openssl, "pkcs8", "-topk8", "-in", key, "-out", f"{key}.locked", "-passout", "pass:x"],
        check=True,
        capture_output=True,
    )
    offline.domain(1, DOMAIN, certificate, f"{key}.locked")
    assert "passphrase" in offline.run().domains["1"].reason


def test_what_is_no_certificate_is_refused(offline: Offline) -> None:
    file = offline.tree.certificates / "notes.txt"
    file.write_text("secret notes")
    offline.domain(1, DOMAIN, str(file), str(file))
    reason = offline.run().domains["1"].reason
    assert "PEM" in reason
    assert "secret notes" not in reason
