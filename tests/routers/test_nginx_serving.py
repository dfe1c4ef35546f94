"""What nginx answers for an instance, asked of a real nginx with real backends."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployers.routers.domain_file import DomainFile
from deployers.routers.domains import write_domain
from deployers.routers.nginx_layout import NginxLayout
from deployers.spec import Event, InstanceSpec
from tests.observing import wait_for
from tests.routers.backend import Backend
from tests.routers.nginx_host import DOMAIN, Answer, Tree, spec

HASHED = "main-es2015.e8681f0f9c9a05a25134.js"


@pytest.fixture(scope="module")
def version_3(host: Tree) -> Path:
    static = host.static("3", index_html="client 3", assets__logo_svg="<svg/>", ngsw_json="{}")
    (static / HASHED).write_text("x" * 5000)
    return static


@pytest.fixture(scope="module")
def version_2(host: Tree) -> Path:
    static = host.static("2", js__openslides_js="script", js__webclient_site_js="not for you")
    for name in ("index", "projector", "projector-container"):
        (static / "templates").mkdir(exist_ok=True)
        (static / "templates" / f"{name}.html").write_text(name)
    return static


@pytest.fixture
def three(host: Tree, version_3: Path) -> Iterator[Instance]:
    wanted = spec()
    with host.running(wanted, version_3, 3) as backend:
        yield Instance(host, wanted, backend)


@pytest.fixture
def two(host: Tree, version_2: Path) -> Iterator[Instance]:
    wanted = spec()
    with host.running(wanted, version_2, 2) as backend:
        yield Instance(host, wanted, backend)


class Instance:
    def __init__(self, host: Tree, wanted: InstanceSpec, backend: Backend) -> None:
        self.host, self.spec, self.backend = host, wanted, backend
        self.public = host.layout.public(wanted.id)

    def get(self, path: str = "/", **how: Any) -> Answer:
        return self.host.get(self.spec, path, **how)


# OpenSlides 3


@pytest.mark.parametrize("path", ["/apps/users/login/", "/rest/core/config/", "/rest", "/media/a.pdf", "/ws/?a=0"])
def test_3_the_server_answers_what_is_the_servers(three: Instance, path: str) -> None:
    assert three.get(path).text == f"OpenSlides: {path}"


@pytest.mark.parametrize("path", ["/", "/agenda", "/agenda/1/", "/appsettings", "/restaurant", "/static/x", "/assets/"])
def test_3_every_other_path_is_the_client(three: Instance, path: str) -> None:
    assert three.get(path).text == "client 3"


def test_3_a_static_file_comes_from_the_version_and_not_from_the_server(three: Instance) -> None:
    answer = three.get("/assets/logo.svg")
    assert (answer.text, answer.headers["Content-Type"]) == ("<svg/>", "image/svg+xml")
    assert not three.backend.seen


def test_3_the_instances_own_file_comes_before_the_versions(three: Instance) -> None:
    (three.public.static / "assets").mkdir()
    (three.public.static / "assets" / "logo.svg").write_text("own")
    assert three.get("/assets/logo.svg").text == "own"


def test_path_and_query_reach_the_server_unchanged(three: Instance) -> None:
    path = "/rest/a%2Fb//c%20d/?q=%C3%A4&r=a+b"
    three.get(path)
    assert three.backend.last.path == path


def test_the_document_is_asked_for_again_each_time_and_a_hashed_file_never(three: Instance) -> None:
    assert three.get("/").headers["Cache-Control"] == "no-cache"
    assert three.get("/index.html").headers["Cache-Control"] == "no-cache"
    assert three.get("/ngsw.json").headers["Cache-Control"] == "no-cache"
    assert three.get(f"/{HASHED}").headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_scripts_are_compressed(three: Instance) -> None:
    answer = three.get(f"/{HASHED}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) < 500


@pytest.mark.parametrize("path", ["/", f"/{HASHED}", "/rest/", "/apps/core/version/"])
def test_a_browser_must_not_guess_types(three: Instance, path: str) -> None:
    assert three.get(path).headers.get_all("X-Content-Type-Options") == ["nosniff"]


# OpenSlides 2


@pytest.mark.parametrize(
    "path",
    [
        "/rest/users/user/",
        "/media/a.pdf",
        "/webclient/site/",
        "/core/servertime/",
        "/core/version/",
        "/users/whoami/",
        "/users/login/",
        "/users/logout/",
        "/users/setpassword/",
        "/motions/docxtemplate/",
        "/agenda/docxtemplate/",
        "/ws/site/",
    ],
)
def test_2_the_server_answers_what_is_the_servers(two: Instance, path: str) -> None:
    assert two.get(path).text == f"OpenSlides: {path}"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/", "index"),
        ("/motions/1", "index"),
        ("/agenda/", "index"),
        ("/users/", "index"),
        ("/core/", "index"),
        ("/projector/1/", "projector-container"),
        ("/real-projector/1/", "projector"),
        ("/projectors", "index"),
    ],
)
def test_2_every_other_path_is_a_document(two: Instance, path: str, document: str) -> None:
    assert two.get(path).text == document


def test_2_static_files_come_from_the_version(two: Instance) -> None:
    assert two.get("/static/js/openslides.js").text == "script"


def test_2_the_instances_own_logo_comes_before_the_versions(two: Instance) -> None:
    (two.public.static / "img").mkdir()
    (two.public.static / "img" / "logo-projector.png").write_text("own")
    assert two.get("/static/img/logo-projector.png").text == "own"


def test_2_a_static_file_that_is_not_there_is_not_found(two: Instance) -> None:
    assert two.get("/static/js/none.js").status == 404


def test_2_unhashed_scripts_are_asked_for_again(two: Instance) -> None:
    answer = two.get("/static/js/openslides.js")
    assert answer.headers["Cache-Control"] == "no-cache"
    again = two.get("/static/js/openslides.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


# What the server is told


def test_the_server_learns_who_asks_and_how(three: Instance) -> None:
    lies = {
        "X-Real-IP": "192.0.2.1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Scheme": "https",
        "X-Forwarded-Host": "elsewhere.example",
        "Daphne-Root-Path": "/elsewhere",
    }
    three.get("/rest/", headers=lies)
    told = three.backend.last.headers
    assert told["Host"] == f"{three.spec.slug}.{DOMAIN}"
    assert (told["X-Real-IP"], told["X-Forwarded-For"]) == ("127.0.0.1", "127.0.0.1")
    assert (told["X-Forwarded-Proto"], told["X-Scheme"]) == ("http", "http")
    assert not {"X-Forwarded-Host", "Daphne-Root-Path"} & set(told)


def test_no_connection_to_the_instance_is_kept(three: Instance) -> None:
    three.get("/rest/")
    assert three.backend.last.headers["Connection"] == "close"


def test_a_large_upload_arrives_whole(three: Instance) -> None:
    body = os.urandom(1 << 20) * 90
    assert three.get("/rest/mediafiles/mediafile/", method="POST", body=body).status == 200
    assert three.backend.last.body == body


def test_an_upload_above_100_megabytes_is_refused(three: Instance) -> None:
    answer = three.get("/rest/mediafiles/mediafile/", method="POST", headers={"Content-Length": str(101 << 20)})
    assert answer.status == 413


@pytest.mark.parametrize("major", [2, 3])
def test_websockets_pass(major: int, request: pytest.FixtureRequest) -> None:
    instance: Instance = request.getfixturevalue({2: "two", 3: "three"}[major])
    path = {2: "/ws/site/", 3: "/ws/?change_id=0"}[major]
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", instance.host.http), 10) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {instance.spec.slug}.{DOMAIN}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        stream = connection.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline().strip():
            pass
        connection.sendall(b"hello")
        assert stream.read(5) == b"olleh"


# Media


def test_a_media_file_that_openslides_allows_is_sent_by_nginx(three: Instance) -> None:
    media = three.public.media / "file"
    media.mkdir()
    (media / "Tagesordnung ä.pdf").write_bytes(b"%PDF")
    three.backend.redirects["/media/a.pdf"] = "/internal-media/file/Tagesordnung%20%C3%A4.pdf"
    answer = three.get("/media/a.pdf")
    assert (answer.status, answer.body) == (200, b"%PDF")
    assert answer.headers["Content-Type"] == "application/x-backend"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_part_of_a_media_file_can_be_asked_for(three: Instance) -> None:
    (three.public.media / "film").write_bytes(b"0123456789")
    three.backend.redirects["/media/film"] = "/internal-media/film"
    answer = three.get("/media/film", headers={"Range": "bytes=2-4"})
    assert (answer.status, answer.body) == (206, b"234")


def test_a_media_file_cannot_be_had_around_openslides(three: Instance, two: Instance) -> None:
    for instance in (three, two):
        (instance.public.media / "secret.pdf").write_bytes(b"secret")
        assert instance.get("/internal-media/secret.pdf").status == 404
        for path in (
            "/media/../internal-media/secret.pdf",
            "/static/../media/secret.pdf",
            "/version/../media/secret.pdf",
        ):
            assert b"secret" not in instance.get(path).body.removeprefix(b"OpenSlides: " + path.encode())


@pytest.mark.parametrize("name", ["file", "directory"])
def test_a_link_that_an_instance_makes_in_its_media_leads_nowhere(three: Instance, name: str, host: Tree) -> None:
    outside = host.root / f"outside-{three.spec.id}"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    link = three.public.media / name
    link.symlink_to(outside / "secret" if name == "file" else outside)
    path = name if name == "file" else f"{name}/secret"
    three.backend.redirects["/media/x"] = f"/internal-media/{path}"
    answer = three.get("/media/x")
    assert answer.status in (403, 404)
    assert b"secret" not in answer.body


def test_an_answer_of_the_instance_cannot_send_nginx_out_of_its_media(three: Instance) -> None:
    (three.public.directory.parent / "settings.py").write_text("secret")
    for target in (
        "/internal-media/../settings.py",
        "/internal-media/%2e%2e/settings.py",
        "/internal-media../settings.py",
    ):
        three.backend.redirects["/media/x"] = target
        assert b"secret" not in three.get("/media/x").body


@pytest.mark.parametrize("place", ["static", "version"])
def test_a_link_among_static_files_leads_nowhere(host: Tree, place: str) -> None:
    static = host.static(f"links-{place}", index_html="client")
    wanted = spec()
    outside = host.root / f"outside-{wanted.id}"
    outside.write_text("secret")
    with host.running(wanted, static, 3):
        directory = static if place == "version" else host.layout.public(wanted.id).static
        (directory / "linked.txt").symlink_to(outside)
        assert host.get(wanted, "/linked.txt").text != "secret"


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
    three.backend.delay = 3
    assert "OpenSlides is starting" in three.get("/", headers={"Accept-Language": "en"}).text
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


@pytest.mark.parametrize("page", ["starting", "inactive", "unknown", "awake"])
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

    found = wait_for("the request is logged", line, 5)
    assert f"http://{three.spec.slug}.{DOMAIN}" in found
    assert found.endswith(" backend")
