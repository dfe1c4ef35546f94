"""A domain on its way to a running nginx."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from deployers.routers import domain_blocks
from deployers.routers.domain_file import DomainFile
from deployers.routers.domains import DomainRefused, Domains, wait_until_served
from deployers.routers.nginx import NginxRouter
from deployers.spec import DomainSpec
from tests.routers.nginx_host import Tree, spec

RUN = """
import json, sys
from pathlib import Path
given = json.loads(sys.argv[1])
sys.path.insert(0, given["app"])
from deployers.routers.domain_blocks import Places, main
from deployers.routers.nginx_layout import NginxLayout
paths = {name: Path(given[name]) for name in ("configuration", "host_facts", "acme", "access_log")}
names = ("listen_http", "listen_https", "nginx_test", "nginx_reload", "nginx_runs")
lists = {name: tuple(given[name]) for name in names}
main(Places(layout=NginxLayout(Path(given["data_dir"]), Path(given["runtime"])), **paths, **lists))
"""


def said(text: str) -> None:
    """Nobody reads it."""


@pytest.fixture
def domains(host: Tree) -> Domains:
    return Domains(host.layout, start_command(host), ("127.0.0.1", host.http))


def start_command(host: Tree, **changed: object) -> tuple[str, ...]:
    """Root's program on the test's tree, in a process of its own, in systemd's place."""
    names = ("configuration", "host_facts", "acme", "access_log", "listen_http", "listen_https", "nginx_test")
    places = {name: getattr(host.places, name) for name in (*names, "nginx_reload", "nginx_runs")}
    places |= {"data_dir": host.layout.data_dir, "runtime": host.layout.runtime}
    places |= {"app": Path(domain_blocks.__file__).parents[2], **changed}
    return (sys.executable, "-c", RUN, json.dumps(places, default=str))


def test_a_published_domain_serves_its_instances_at_once(host: Tree, domains: Domains) -> None:
    static = host.static("new", index_html="client")
    wanted = spec(domain="new.example.org", domain_id=10)
    host.make(wanted, static, 3)
    assert host.get(wanted).status == 404
    domains.publish(DomainFile(10, "new.example.org"), said)
    answers = {host.get(wanted, "/index.html").text for _ in range(20)}
    assert answers == {"client"}


def test_another_instance_in_the_domain_costs_nothing(host: Tree, domains: Domains) -> None:
    domain = DomainFile(11, "eleven.example.org")
    assert not domains.is_published(domain)
    domains.publish(domain, said)
    assert Domains(host.layout, ("false",)).is_published(domain)


def test_a_domain_with_another_certificate_is_not_published_yet(host: Tree, domains: Domains) -> None:
    domains.publish(DomainFile(12, "twelve.example.org"), said)
    changed = DomainFile(12, "twelve.example.org", *host.certificate("twelve"))
    assert not domains.is_published(changed)
    domains.publish(changed, said)
    assert domains.is_published(changed)
    with host.tls("a.twelve.example.org") as connection:
        assert b"twelve" in (connection.getpeercert(binary_form=True) or b"")


def test_a_refused_domain_leaves_everything_as_it_was(host: Tree, domains: Domains) -> None:
    good = DomainFile(13, "thirteen.example.org")
    missing = str(host.certificates / "none.pem")
    with pytest.raises(DomainRefused, match="does not exist"):
        domains.publish(DomainFile(13, "thirteen.example.org", missing, missing), said)
    assert not (host.layout.domains / "13.json").exists()
    domains.publish(good, said)
    with pytest.raises(DomainRefused, match="does not exist"):
        domains.publish(DomainFile(13, "thirteen.example.org", missing, missing), said)
    assert (host.layout.domains / "13.json").read_text() == good.text
    assert host.get("nobody.thirteen.example.org").status == 404
    domains.publish(good, said)
    assert domains.is_published(good)


def test_a_withdrawn_domain_is_served_no_more(host: Tree, domains: Domains) -> None:
    domain = DomainFile(14, "fourteen.example.org")
    domains.publish(domain, said)
    domains.withdraw(domain.id, domain.domain, said)
    assert not domains.is_published(domain)
    assert not (host.places.configuration / "14.conf").exists()
    assert "There is no event" not in host.get("nobody.fourteen.example.org").text


def test_domains_that_come_at_once_are_all_served(host: Tree, domains: Domains) -> None:
    wanted = [DomainFile(number, f"d{number}.example.org") for number in range(30, 34)]
    failed: list[Exception] = []

    def publish(domain: DomainFile) -> None:
        try:
            domains.publish(domain, said)
        except DomainRefused as error:
            failed.append(error)

    threads = [threading.Thread(target=publish, args=(domain,)) for domain in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(domains.is_published(domain) for domain in wanted)


def test_a_unit_that_cannot_be_run_is_named(host: Tree) -> None:
    domain = DomainFile(15, "fifteen.example.org")
    with pytest.raises(DomainRefused, match="journalctl -u openslides_domains"):
        Domains(host.layout, ("false",)).publish(domain, said)
    with pytest.raises(DomainRefused, match="journalctl"):
        Domains(host.layout, ("no-such-program",)).publish(domain, said)
    assert not (host.layout.domains / "15.json").exists()


def test_a_unit_that_does_not_take_the_domain_up_is_named(host: Tree) -> None:
    with pytest.raises(DomainRefused, match="does not take it up"):
        Domains(host.layout, ("true",)).publish(DomainFile(16, "sixteen.example.org"), said)


def test_a_failed_reload_is_told_and_the_next_attempt_works(host: Tree, domains: Domains) -> None:
    domain = DomainFile(17, "seventeen.example.org")
    broken = Domains(host.layout, start_command(host, nginx_reload=["false"]), domains.nginx)
    with pytest.raises(DomainRefused, match="could not be reloaded"):
        broken.publish(domain, said)
    domains.publish(domain, said)
    assert host.get("nobody.seventeen.example.org").status == 404


def test_nobody_else_is_told_which_configuration_is_served(host: Tree) -> None:
    generation = host.bring_up_to_date().loaded
    assert wait_until_served(("127.0.0.1", host.http), generation)
    assert generation not in host.get("nobody.example.org", "/generation").text


def test_a_domain_is_brought_to_nginx_once_and_taken_away_again(host: Tree, domains: Domains) -> None:
    wanted, router = DomainSpec(18, "router.example.org"), NginxRouter(host.layout, domains)
    router.open_domain(wanted)
    NginxRouter(host.layout, Domains(host.layout, ("false",))).open_domain(wanted)
    assert "There is no event" in host.get("nobody.router.example.org").text
    for _ in range(2):
        router.close_domain(wanted)
        assert "There is no event" not in host.get("nobody.router.example.org").text


def test_a_domain_that_cannot_be_served_is_named(host: Tree, domains: Domains) -> None:
    missing = str(host.certificates / "none.pem")
    with pytest.raises(DomainRefused, match=r"bad\.example\.org.*does not exist"):
        NginxRouter(host.layout, domains).open_domain(DomainSpec(19, "bad.example.org", missing, missing))
