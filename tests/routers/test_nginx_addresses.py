"""What is found at an address, and the pages in an instance's place, asked of a real nginx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deployers.routers.domain_file import DomainFile
from deployers.routers.domains import write_domain
from deployers.routers.nginx_layout import NginxLayout
from deployers.spec import Event
from tests.observing import wait_for
from tests.routers.nginx_host import DOMAIN, Instance, Tree, spec

# Addresses


def test_an_unknown_slug_is_not_found_in_both_languages(host: Tree) -> None:
    german = host.get(f"nobody.{DOMAIN}", headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.8"})
    english = host.get(f"nobody.{DOMAIN}", "/rest/", method="POST", body=b"x")
    assert (german.status, english.status) == (404, 404)
    assert '<html lang="de">' in german.text
    assert '<html lang="en">' in english.text
    assert "Retry-After" not in german.headers


@pytest.mark.parametrize("name", [DOMAIN, "other.example.net", f"a.b.{DOMAIN}", f"-a.{DOMAIN}", "127.0.0.1"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_name_of_no_domain_leads_to_no_instance(host: Tree, version_3: Path, name: str, tls: bool) -> None:
    for slug in ("pages", "v3", "media"):
        wanted = spec(slug=slug)
        if not host.layout.address(1, slug).exists():
            host.make(wanted, version_3, 3)
    assert host.get(name, tls=tls).status == 404


def test_a_removed_instance_is_not_found(host: Tree, version_3: Path) -> None:
    wanted = spec()
    host.make(wanted, version_3, 3)
    host.router.withdraw(wanted)
    assert host.get(wanted).status == 404


def test_the_longest_path_of_a_production_host_is_served(host: Tree, version_3: Path) -> None:
    slug = "a" * 63
    longest = len(str(NginxLayout().address(9_999_999_999, slug) / NginxLayout().socket_name))
    digits = longest - len(str(host.layout.address(1, slug) / host.layout.socket_name)) + 1
    domain = DomainFile(int("9" * digits), "long.example.org")
    write_domain(host.layout, domain)
    assert host.bring_up_to_date().domains[str(domain.id)].ok
    wanted = spec(slug=slug, domain=domain.domain, domain_id=domain.id)
    with host.running(wanted, version_3, 3):
        assert host.get(wanted, "/rest/").text == "OpenSlides: /rest/"


def test_an_instance_with_tls_is_served_over_https_only(host: Tree, version_3: Path) -> None:
    wanted = spec(mode="subdomain")
    with host.running(wanted, version_3, 3):
        plain = host.get(wanted, "/a?b=%20c")
        assert (plain.status, plain.headers["Location"]) == (301, f"https://{wanted.slug}.{DOMAIN}/a?b=%20c")
        assert host.get(wanted, tls=True).text == "client 3"


def test_the_server_learns_of_tls(host: Tree, version_3: Path) -> None:
    wanted = spec(mode="subdomain")
    with host.running(wanted, version_3, 3) as backend:
        host.get(wanted, "/rest/", tls=True)
        told = backend.last.headers
        assert (told["X-Forwarded-Proto"], told["X-Scheme"]) == ("https", "https")


def test_an_instance_without_tls_is_served_over_http_only(host: Tree, version_3: Path) -> None:
    wanted = spec(mode="subdomain_nossl")
    with host.running(wanted, version_3, 3):
        answer = host.get(wanted, "/a", tls=True)
        assert (answer.status, answer.headers["Location"]) == (302, f"http://{wanted.slug}.{DOMAIN}/a")
        assert host.get(wanted).text == "client 3"


def test_an_unknown_slug_is_not_found_over_https_either(host: Tree) -> None:
    assert host.get(f"nobody.{DOMAIN}", tls=True).status == 404


def test_http_2_is_spoken_over_tls(host: Tree) -> None:
    with host.tls(f"nobody.{DOMAIN}", ("h2", "http/1.1")) as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_a_certificate_authority_finds_its_challenge(host: Tree, version_3: Path) -> None:
    wanted = spec(mode="subdomain")
    host.make(wanted, version_3, 3)
    challenges = host.places.acme / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True, exist_ok=True)
    (challenges / "token").write_text("answer")
    assert host.get(wanted, "/.well-known/acme-challenge/token").text == "answer"
    assert host.get(wanted, "/.well-known/acme-challenge/none").status == 404


def test_names_are_the_same_in_capital_letters(three: Instance) -> None:
    assert three.host.get(f"{three.spec.slug}.{DOMAIN}".upper()).text == "client 3"


# Pages in an instance's place


@pytest.mark.parametrize("path", ["/", "/rest/", "/assets/logo.svg"])
def test_a_stopped_instance_shows_that_it_is_inactive(three: Instance, path: str) -> None:
    three.host.router.pause(three.spec)
    answer = three.get(path)
    assert answer.status == 503
    assert "Annual assembly" in answer.text
    assert "Not active" in answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert not three.backend.seen
    assert three.get(path, method="POST", body=b"x").status == 503


@pytest.mark.parametrize(("language", "text"), [("de", "Wird gerade aktualisiert"), ("en", "Being updated")])
def test_while_an_instance_is_updated_nobody_reaches_it_and_a_page_says_so(
    three: Instance, language: str, text: str
) -> None:
    three.host.router.announce(three.spec)
    for path in ("/", "/rest/", "/apps/core/version/", "/assets/logo.svg"):
        answer = three.get(path, headers={"Accept-Language": language})
        assert answer.status == 503
        assert text in answer.text
        assert "Annual assembly" in answer.text
        assert answer.headers["Retry-After"] == "10"
        assert answer.headers["Cache-Control"] == "no-store"
    assert three.get("/rest/", method="POST", body=b"x").status == 503
    assert not three.backend.seen


def test_after_an_update_the_instance_answers_or_is_inactive(three: Instance, version_3: Path) -> None:
    three.host.router.announce(three.spec)
    three.host.router.publish(three.spec, version_3, 3)
    assert three.get("/").text == "client 3"
    three.host.router.announce(three.spec)
    three.host.router.pause(three.spec)
    assert "Not active" in three.get("/").text


def test_a_resumed_instance_answers_again(three: Instance) -> None:
    three.host.router.pause(three.spec)
    three.host.router.resume(three.spec)
    assert three.get("/").text == "client 3"


def test_opening_the_address_wakes_the_instance_and_fetching_a_file_does_not(three: Instance, two: Instance) -> None:
    three.get("/assets/logo.svg")
    two.get("/static/js/openslides.js")
    assert not three.backend.seen
    assert not two.backend.seen
    three.get("/agenda", headers={"Cookie": "session=1"})
    two.get("/agenda")
    assert [seen.path for seen in three.backend.seen] == ["/apps/core/version/"]
    assert [seen.path for seen in two.backend.seen] == ["/core/version/"]
    assert "Cookie" not in three.backend.last.headers


@pytest.mark.parametrize("path", ["/", "/rest/"])
def test_an_instance_that_cannot_be_reached_is_starting(host: Tree, version_3: Path, path: str) -> None:
    wanted = spec(event=Event('<b>General</b> & "annual" {{ 7*7 }}'))
    host.make(wanted, version_3, 3)
    answer = host.get(wanted, path)
    assert answer.status == 503
    assert "OpenSlides is starting" in answer.text
    assert "&lt;b&gt;General&lt;/b&gt; &amp; &#34;annual&#34; {{ 7*7 }}" in answer.text
    assert '<meta http-equiv="refresh" content="2">' in answer.text
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert host.get(wanted, path, method="POST", body=b"x").status in (405, 503)


def test_an_instance_that_wakes_slowly_is_starting_and_then_there(three: Instance) -> None:
    three.host.bring_up_to_date(wake_seconds=1)
    try:
        three.backend.delay = 12
        assert "OpenSlides is starting" in three.get("/", headers={"Accept-Language": "en"}).text
    finally:
        three.host.bring_up_to_date()
    three.backend.delay = 0
    assert three.get("/").text == "client 3"


def test_a_slow_answer_is_waited_for(three: Instance) -> None:
    three.backend.delay = 2
    assert three.get("/rest/").status == 200


def test_an_error_of_openslides_itself_is_passed_on(three: Instance) -> None:
    three.backend.statuses.update({"/rest/a": 404, "/rest/b": 500, "/rest/c": 400})
    assert [three.get(path).status for path in ("/rest/a", "/rest/b", "/rest/c")] == [404, 500, 400]
    assert three.get("/rest/a").text == "OpenSlides: /rest/a"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, de;q=0.7, en;q=0.3", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("fr", "en"),
        ("fr-DE", "en"),
        ("DE", "de"),
        (None, "en"),
    ],
)
def test_the_page_is_in_the_language_that_the_browser_names_first(
    host: Tree, accepted: str | None, language: str
) -> None:
    headers = {"Accept-Language": accepted} if accepted else {}
    answer = host.get(f"nobody.{DOMAIN}", headers=headers)
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize("page", ["starting", "inactive", "updating", "unknown", "awake"])
def test_the_pages_have_no_address_of_their_own(three: Instance, page: str) -> None:
    assert three.get(f"/.openslides/{page}").status == 404
    assert not three.backend.seen


def test_an_update_to_another_major_version_changes_the_rules_at_once(three: Instance, version_2: Path) -> None:
    three.host.router.publish(replace(three.spec, mode="subdomain_nossl"), version_2, 2)
    assert three.get("/").text == "index"
    assert three.get("/apps/x/").text == "index"


def test_the_log_names_the_host_and_what_answered(three: Instance) -> None:
    three.get("/rest/logged")
    log = three.host.places.access_log

    def line() -> str | None:
        return next((line for line in log.read_text().splitlines() if "/rest/logged" in line), None)

    found = wait_for("the request is logged", line, 60)
    assert f"http://{three.spec.slug}.{DOMAIN}" in found
    assert found.endswith(" backend")
