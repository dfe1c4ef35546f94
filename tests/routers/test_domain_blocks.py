"""What root's program does with the domains, with a real nginx -t."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from deployers.routers import domain_blocks
from deployers.routers.domain_file import DomainFile
from deployers.routers.domain_result import read_result
from deployers.routers.domains import remove_domain
from tests.routers.nginx_host import DOMAIN
from tests.routers.offline import Offline

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


def test_a_certificate_that_is_gone_keeps_no_nginx_from_starting(offline: Offline) -> None:
    certificate, key = offline.tree.certificate("own")
    offline.domain(1, "one.example", certificate, key)
    offline.domain(2, "two.example")
    offline.run()
    Path(certificate).unlink()
    offline.run()
    # One that runs has the certificate in its memory.
    assert {"1.conf", "2.conf"} <= set(offline.blocks)
    result = offline.run(nginx_runs=("false",))
    assert "1.conf" not in offline.blocks
    assert "2.conf" in offline.blocks
    assert not result.domains["1"].ok
    assert offline.reloaded == 1


def test_a_domain_comes_back_with_its_certificate(offline: Offline) -> None:
    certificate, key = offline.tree.certificate("own")
    offline.domain(1, "one.example", certificate, key)
    kept = Path(certificate).read_bytes()
    Path(certificate).unlink()
    offline.run(nginx_runs=("false",))
    Path(certificate).write_bytes(kept)
    assert offline.run().domains["1"].ok
    assert "1.conf" in offline.blocks


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
        process.wait(60)
    assert offline.blocks == before
