"""Root's program, with a real nginx -t, and the files that an attacker with the service user's rights could write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployers.routers import domain_blocks
from deployers.routers.domain_blocks import Places, Program
from deployers.routers.domain_file import MOST_BYTES, DomainFile
from deployers.routers.domain_result import Result, read_result
from deployers.routers.domains import remove_domain, write_domain
from tests.routers.nginx_host import DOMAIN, Tree
from tests.tools import require

ROOT = os.geteuid() == 0

SLOW_RUN = """
import json, sys
from pathlib import Path
given = json.loads(sys.argv[1])
sys.path.insert(0, given["app"])
from deployers.routers.domain_blocks import Places, main
from deployers.routers.nginx_layout import NginxLayout
root = Path(given["root"])
layout = NginxLayout(root / "srv", root / "run")
test = ("sh", "-c", "echo testing; sleep 60")
main(Places(layout=layout, configuration=root / "etc", host_facts=root / "host.json", nginx_test=test))
"""


@pytest.fixture
def offline(bare: Tree) -> Offline:
    return Offline(bare)


class Offline:
    """A host whose nginx checks its configuration but does not run: its reload is a list of what happened."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.reloads = tree.root / "reloads"
        self.said: list[str] = []

    def run(self, **places: object) -> Result:
        fields = {name: getattr(self.tree.places, name) for name in Places.__dataclass_fields__}
        note = ("sh", "-c", f"echo reload >> {self.reloads}")
        made = Places(**{**fields, "nginx_reload": note, **places})
        return Program(made, self.said.append).bring_up_to_date()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.tree.layout.domains / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def domain(self, domain_id: int, name: str = DOMAIN, *certificate: str) -> None:
        write_domain(self.tree.layout, DomainFile(domain_id, name, *certificate))

    @property
    def blocks(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.tree.places.configuration.glob("*.conf")}

    @property
    def reloaded(self) -> int:
        return len(self.reloads.read_text().splitlines()) if self.reloads.exists() else 0


def fields(**changed: object) -> str:
    return json.dumps({"id": 7, "domain": DOMAIN, "certificate": None, "certificate_key": None, **changed})


# What it does


def test_each_domain_gets_a_block_and_nginx_is_reloaded_once(offline: Offline) -> None:
    offline.domain(1, "one.example")
    offline.domain(20, "two.example")
    result = offline.run()
    assert set(offline.blocks) == {"00-shared.conf", "1.conf", "20.conf"}
    assert all(outcome.ok for outcome in result.domains.values())
    assert offline.reloaded == 1


def test_the_result_is_written_for_the_control_plane(offline: Offline) -> None:
    offline.domain(1)
    result = offline.run()
    assert read_result(offline.tree.layout.domains_result) == result
    assert result.domains["1"].digest == DomainFile(1, DOMAIN).digest
    assert f"return 200 {result.loaded};" in offline.blocks["00-shared.conf"]


def test_nothing_changed_nothing_done(offline: Offline) -> None:
    offline.domain(1)
    first = offline.run()
    second = offline.run(nginx_test=("false",))
    assert (second, offline.reloaded) == (first, 1)


def test_after_a_boot_nginx_is_reloaded_to_be_sure(offline: Offline) -> None:
    offline.domain(1)
    offline.run()
    offline.tree.layout.domains_result.unlink()
    offline.run()
    assert offline.reloaded == 2


def test_the_block_of_a_domain_that_is_gone_is_taken_away(offline: Offline) -> None:
    offline.domain(1, "one.example")
    offline.domain(2, "two.example")
    offline.run()
    remove_domain(offline.tree.layout, 1)
    result = offline.run()
    assert set(offline.blocks) == {"00-shared.conf", "2.conf"}
    assert set(result.domains) == {"2"}
    assert offline.reloaded == 2


def test_a_host_without_domains_has_a_configuration_that_nginx_takes(offline: Offline) -> None:
    assert offline.run().problem == ""
    assert set(offline.blocks) == {"00-shared.conf"}


def test_a_domain_without_a_certificate_uses_the_hosts(offline: Offline) -> None:
    offline.domain(1)
    offline.run()
    assert f'ssl_certificate "{offline.tree.certificates}/host.pem";' in offline.blocks["1.conf"]


def test_a_domains_own_certificate_is_used(offline: Offline) -> None:
    offline.domain(1, DOMAIN, *offline.tree.certificate("own"))
    assert offline.run().domains["1"].ok
    assert f'ssl_certificate_key "{offline.tree.certificates}/own.key";' in offline.blocks["1.conf"]


def test_links_between_certificate_directories_are_followed(offline: Offline) -> None:
    certificate, _ = offline.tree.certificate("archived")
    live = offline.tree.certificates / "live"
    live.mkdir()
    (live / "full.pem").symlink_to(certificate)
    (live / "key.pem").symlink_to("../archived.key")
    offline.domain(1, DOMAIN, str(live / "full.pem"), str(live / "key.pem"))
    assert offline.run().domains["1"].ok


def test_files_of_others_in_nginxs_directory_are_left_alone(offline: Offline) -> None:
    offline.run()
    other = offline.tree.places.configuration / "mine.conf"
    other.write_text("# mine\n")
    offline.domain(1)
    offline.run()
    assert other.read_text() == "# mine\n"


# Hostile files


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


# Refusals


def test_a_domain_that_becomes_bad_keeps_the_block_that_it_had(offline: Offline) -> None:
    offline.domain(1)
    offline.run()
    before = offline.blocks
    offline.write("1.json", "rubbish")
    result = offline.run()
    assert not result.domains["1"].ok
    assert offline.blocks == before
    assert offline.reloaded == 1


def test_a_domain_whose_certificate_is_gone_does_not_stop_another(offline: Offline) -> None:
    certificate, key = offline.tree.certificate("own")
    offline.domain(1, "one.example", certificate, key)
    offline.run()
    Path(certificate).unlink()
    offline.domain(2, "two.example")
    result = offline.run()
    assert not result.domains["1"].ok
    assert result.domains["2"].ok
    assert "2.conf" in offline.blocks


def test_what_nginx_refuses_is_put_back_and_reported(offline: Offline) -> None:
    offline.domain(1, "one.example")
    offline.run()
    before = offline.blocks
    offline.domain(2, "two.example")
    result = offline.run(nginx_test=("false",))
    assert offline.blocks == before
    assert result.domains["1"].ok
    assert "nginx refuses its configuration" in result.domains["2"].reason
    assert (result.loaded, offline.reloaded) == (read_result(offline.tree.layout.domains_result).loaded, 1)
    assert offline.run().domains["2"].ok


def test_one_domain_that_nginx_refuses_does_not_stop_the_others(offline: Offline) -> None:
    directory = offline.tree.places.configuration
    # nginx, and after it a test that only domain 2 does not pass.
    test = ("sh", "-c", f'"$@" && ! test -e {directory}/2.conf', "sh", *offline.tree.places.nginx_test)
    for number in (1, 2, 3):
        offline.domain(number, f"d{number}.example")
    result = offline.run(nginx_test=test)
    assert {key: outcome.ok for key, outcome in result.domains.items()} == {"1": True, "2": False, "3": True}
    assert set(offline.blocks) == {"00-shared.conf", "1.conf", "3.conf"}
    assert f"return 200 {result.loaded};" in offline.blocks["00-shared.conf"]


def test_a_fault_in_the_operators_own_configuration_is_not_shown_but_said(offline: Offline) -> None:
    conf = offline.tree.main_conf
    conf.write_text(conf.read_text().replace("http {", "http { password-of-mine;"))
    offline.domain(1)
    result = offline.run()
    assert "password-of-mine" not in offline.tree.layout.domains_result.read_text()
    assert "nginx -t" in result.problem + result.domains["1"].reason
    assert set(offline.blocks) <= {"00-shared.conf"}


def test_a_reload_that_fails_is_reported_and_tried_again(offline: Offline) -> None:
    offline.domain(1)
    failed = offline.run(nginx_reload=("false",))
    assert "could not be reloaded" in failed.problem
    assert failed.loaded == ""
    assert offline.run().problem == ""
    assert offline.reloaded == 1


def test_a_host_that_is_not_set_up_is_named(offline: Offline) -> None:
    offline.tree.places.host_facts.unlink()
    offline.domain(1)
    assert "Run the host's set-up again" in offline.run().problem


def test_an_end_in_the_middle_puts_the_old_files_back(offline: Offline) -> None:
    offline.domain(1)
    offline.run()
    before = offline.blocks
    offline.domain(2, "two.example")
    places = {"root": str(offline.tree.root), "app": str(Path(domain_blocks.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, json.dumps(places)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr as said:
        assert said.readline() == b"testing\n"
        assert "2.conf" in offline.blocks
        process.terminate()
        process.wait(10)
    assert offline.blocks == before
