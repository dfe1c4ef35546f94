"""The whole life of real OpenSlides instances on an embedded host."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import requests

from deployers.spec import Account, Event
from deployers.states import UnitState
from tests.deployers.host import ADMIN_PASSWORD, SUPERADMIN_PASSWORD, Browser, Host, run, version

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


@pytest.mark.parametrize("release", ["3.3", "3.2", "2.3"])
def test_a_real_openslides_lives_from_create_to_remove(host: Host, release: str) -> None:
    spec = host.create(release)
    url = host.deployer.url(spec.location)
    major = int(release[0])
    assert requests.get(url, timeout=120).status_code == 200
    assert Browser(url, major).version() == release

    admin = Browser(url, major)
    assert not admin.login("anna", "wrong")
    assert admin.login("anna", ADMIN_PASSWORD)
    groups, *names = admin.groups_and_names()
    assert names == ["Anna", "Müller"]
    assert groups == ([2] if major == 3 else [4])  # the group "Admin" of each major version
    superadmin = Browser(url, major)
    assert not superadmin.login("admin", "admin")
    assert superadmin.login("admin", SUPERADMIN_PASSWORD)
    config = superadmin.config()
    assert [config[f"general_event_{key}"] for key in ("name", "description", "date", "location")] == [
        "Annual assembly 2026",
        "All members",
        "2026-05-01",
        "Town hall",
    ]
    users = superadmin.get("/rest/users/user/")
    assert {user["username"]: user["default_password"] for user in users} == {"admin": "", "anna": ""}

    run(host.deployer.stop(spec))
    assert host.deployer.states()[spec.id] == UnitState.STOPPED
    assert spec.port is not None
    assert host.deployer.port_is_free(spec.port)
    run(host.deployer.start(spec))
    assert Browser(url, major).login("admin", SUPERADMIN_PASSWORD)

    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_what_holds_secrets_is_readable_by_the_owner_only(host: Host) -> None:
    spec = host.create()
    directory = host.directory(spec)
    for path in [directory, *directory.rglob("*"), *host.services.layout.supervisor_instances.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    run(host.deployer.remove(spec))


def test_no_secret_is_in_a_process_or_in_the_service_file(host: Host) -> None:
    spec = host.create()
    conf = (host.services.layout.supervisor_instances / f"{spec.id}.conf").read_text()
    seen = (Path("/proc") / str(host.pid(spec)) / "environ").read_text()
    seen += (Path("/proc") / str(host.pid(spec)) / "cmdline").read_text() + conf
    assert not [secret for secret in (*spec.secrets, "DJANGO_SECRET_KEY", "of the control plane") if secret in seen]
    run(host.deployer.remove(spec))


def test_instances_do_not_see_each_others_sessions(host: Host) -> None:
    first, second = host.create(), host.create()
    browser = Browser(host.deployer.url(first.location))
    browser.login("admin", SUPERADMIN_PASSWORD)
    cookies = {cookie.name for cookie in browser.session.cookies}
    browser.url = host.deployer.url(second.location).rstrip("/")
    browser.login("admin", SUPERADMIN_PASSWORD)
    browser.url = host.deployer.url(first.location).rstrip("/")
    assert browser.groups_and_names()[1] == "Administrator" or browser.get("/apps/users/whoami/")["user_id"] == 1
    assert len({cookie.name for cookie in browser.session.cookies} - cookies) == 1
    for spec in (first, second):
        run(host.deployer.remove(spec))


FOUR = (
    'it\'s "quoted" \\ and \\n not a newline',
    "two\nlines\r\nand\ttab",
    "emoji 🎉 and Ünïcödé \u202e",
    "{{ 7 * 7 }} {% raw %} {# #} ${HOME} $(id) `id` %(here)s %%",
)
FOUR_MORE = ("", "'; DROP TABLE users_user; --", "<script>alert(1)</script>", "\"\"\"'''\\")


@pytest.mark.parametrize("release", ["3.3", "2.3"])
@pytest.mark.parametrize("texts", [FOUR, FOUR_MORE], ids=["four", "four more"])
def test_texts_are_shown_as_typed(host: Host, release: str, texts: tuple[str, str, str, str]) -> None:
    """Each in a field of the event; the beginnings of two are a name of the administrator."""
    names = (texts[0][:15] + texts[2][:15], texts[1][:15] + texts[3][:15])
    spec = host.spec(release, event=Event(*texts), admin=Account(*names, "anna", "p"))
    run(host.deployer.create(spec))
    browser = Browser(host.deployer.url(spec.location), int(release[0]))
    assert browser.login("anna", "p")
    config = browser.config()
    assert tuple(config[f"general_event_{key}"] for key in ("name", "description", "date", "location")) == texts
    assert tuple(browser.groups_and_names()[1:]) == names
    written = [path.read_bytes() for path in host.directory(spec).rglob("*") if path.suffix in (".py", ".conf")]
    assert not [text for text in texts if text and any(text.encode() in content for content in written)]
    run(host.deployer.remove(spec))


@pytest.mark.parametrize("release", ["3.3", "2.3"])
def test_the_logo_is_the_instances_own(host: Host, release: str, tmp_path: Path) -> None:
    image = tmp_path / "logo.png"
    image.write_bytes(PIXEL)
    spec, other = host.create(release, logo=image), host.create(release)
    browser = Browser(host.deployer.url(spec.location), int(release[0]))
    browser.login("admin", SUPERADMIN_PASSWORD)
    path = browser.config()["logo_projector_main"]["path"] or "/static/img/logo-projector.png"
    assert requests.get(browser.url + path, timeout=120).content == PIXEL
    assert requests.get(host.deployer.url(other.location) + path.lstrip("/"), timeout=120).content != PIXEL
    for made in (spec, other):
        run(host.deployer.remove(made))


def test_a_logo_that_is_taken_away_is_gone_after_the_next_start(host: Host, tmp_path: Path) -> None:
    image = tmp_path / "logo.png"
    image.write_bytes(PIXEL)
    spec = host.create(logo=image)
    run(host.deployer.stop(spec))
    run(host.deployer.start(host.spec(id=spec.id, port=spec.port, logo=None)))
    browser = Browser(host.deployer.url(spec.location))
    browser.login("admin", SUPERADMIN_PASSWORD)
    assert browser.config()["logo_projector_main"]["path"] == ""
    run(host.deployer.remove(spec))


def test_a_prepared_version_is_kept_quickly(host: Host) -> None:
    lines = run(host.deployer.prepare(version("3.3")))
    assert lines[0] == "It is prepared already.\n"
    assert host.deployer.is_prepared(version("3.3"))
    assert not host.deployer.is_prepared(version("3.1"))
