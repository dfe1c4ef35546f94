"""Which request is answered by what, asked of a real nginx with real backends."""

from __future__ import annotations

import base64
import os
import socket

import pytest

from tests.routers.nginx_host import DOMAIN, HASHED, Instance, Tree, spec

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
