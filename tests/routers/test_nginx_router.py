"""The links, marks and pages by which an instance gets its address."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.routers.nginx import AddressTaken, InTheWay, ModeUnsupported, NginxRouter, PathTooLong
from deployers.routers.nginx_layout import SOCKET_PATH_BYTES, NginxLayout
from deployers.spec import InstanceSpec
from tests.routers.nginx_host import DOMAIN, spec


@pytest.fixture
def layout() -> Iterator[NginxLayout]:
    with tempfile.TemporaryDirectory(prefix="mi-ngx-") as root:  # short: unix sockets lie in it
        made = NginxLayout(Path(root, "srv"), Path(root, "run"))
        made.by_name.mkdir(parents=True)
        (made.runtime / "sockets").mkdir(parents=True)
        (made.data_dir / "instances").mkdir()
        yield made


@pytest.fixture
def router(layout: NginxLayout) -> NginxRouter:
    return NginxRouter(layout)


def published(router: NginxRouter, **changed: object) -> InstanceSpec:
    wanted = spec(**changed)
    router.layout.public(wanted.id).directory.parent.mkdir()
    router.publish(wanted, Path("/srv/openslides/versions/3/static"), 3)
    return wanted


def tree_of(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): str(path.readlink()) if path.is_symlink() else oct(path.lstat().st_mode)
        for path in directory.rglob("*")
    }


def test_an_instance_is_found_by_its_name_alone(router: NginxRouter) -> None:
    wanted = published(router, mode="subdomain")
    address = router.layout.by_name / "1" / wanted.slug
    assert tree_of(address.resolve()) == {
        "sock": str(router.layout.runtime / "sockets" / f"{wanted.id}.sock"),
        "version": "/srv/openslides/versions/3/static",
        "media": "../data/media",
        "static": "0o40755",
        "pages": "0o40755",
        "pages/starting.de.html": "0o100644",
        "pages/starting.en.html": "0o100644",
        "pages/inactive.de.html": "0o100644",
        "pages/inactive.en.html": "0o100644",
        "v3": "0o100644",
        "tls": "0o100644",
    }


def test_modes_are_right_whatever_the_umask(router: NginxRouter) -> None:
    before = os.umask(0o077)
    try:
        wanted = published(router)
    finally:
        os.umask(before)
    public = router.layout.public(wanted.id)
    assert public.directory.stat().st_mode & 0o777 == 0o755
    assert public.major(3).stat().st_mode & 0o777 == 0o644
    assert (router.layout.by_name / "1").stat().st_mode & 0o777 == 0o711


def test_publishing_again_changes_nothing(router: NginxRouter) -> None:
    wanted = published(router)
    public = router.layout.public(wanted.id).directory
    before = {path: path.lstat().st_ino for path in public.rglob("*")}
    router.publish(wanted, Path("/srv/openslides/versions/3/static"), 3)
    assert {path: path.lstat().st_ino for path in public.rglob("*")} == before


def test_publishing_for_another_version_and_mode_replaces_what_was(router: NginxRouter) -> None:
    wanted = published(router, mode="subdomain")
    router.pause(wanted)
    router.announce(wanted)
    router.publish(replace(wanted, mode="subdomain_nossl"), Path("/srv/openslides/versions/2/static"), 2)
    public = router.layout.public(wanted.id)
    assert public.version.readlink() == Path("/srv/openslides/versions/2/static")
    marks = {path.name for path in public.directory.iterdir() if path.is_file() and not path.is_symlink()}
    assert marks == {"v2"}


def test_the_version_is_there_at_every_moment_of_an_update(router: NginxRouter) -> None:
    wanted = published(router)
    link = router.layout.public(wanted.id).version
    missing: list[None] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if not link.is_symlink():
                missing.append(None)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(200):
        router.publish(wanted, Path(f"/srv/openslides/versions/{number}/static"), 3)
    done.set()
    looking.join()
    assert not missing


def test_an_instance_that_was_never_published_can_be_paused_resumed_and_withdrawn(router: NginxRouter) -> None:
    wanted = spec()
    router.announce(wanted)
    router.pause(wanted)
    router.resume(wanted)
    router.withdraw(wanted)
    assert not list(router.layout.by_name.iterdir())


def test_withdrawing_the_last_instance_of_a_domain_leaves_nothing(router: NginxRouter) -> None:
    first, second = published(router), published(router)
    router.withdraw(first)
    assert [path.name for path in (router.layout.by_name / "1").iterdir()] == [second.slug]
    router.withdraw(second)
    assert not list(router.layout.by_name.iterdir())


def test_withdrawing_leaves_the_address_of_another_instance(router: NginxRouter) -> None:
    mine = published(router)
    router.withdraw(replace(mine, id="f" * 32))
    assert router.layout.address(1, mine.slug).is_symlink()


def test_an_address_of_another_instance_is_not_taken(router: NginxRouter) -> None:
    other = published(router)
    mine = spec(slug=other.slug)
    router.layout.public(mine.id).directory.parent.mkdir()
    with pytest.raises(AddressTaken, match=other.id):
        router.check_free(mine)
    with pytest.raises(AddressTaken):
        router.publish(mine, Path("/static"), 3)
    assert router.layout.address(1, other.slug).readlink() == router.layout.public(other.id).directory


def test_the_link_of_an_instance_that_is_gone_is_replaced(router: NginxRouter) -> None:
    address = router.layout.address(1, "event")
    address.parent.mkdir()
    address.symlink_to(router.layout.public("e" * 32).directory)
    wanted = published(router, slug="event")
    assert address.readlink() == router.layout.public(wanted.id).directory


@pytest.mark.parametrize("where", ["web", "front", "address"])
def test_what_is_in_the_way_is_named_and_left_alone(router: NginxRouter, where: str) -> None:
    wanted = spec()
    layout = router.layout
    path = {
        "web": layout.web(wanted.id),
        "front": layout.front(wanted.id),
        "address": layout.address(1, wanted.slug),
    }[where]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    with pytest.raises(InTheWay, match=str(path)):
        router.check_free(wanted)
    assert path.read_text() == "a file"


def test_an_instances_own_sockets_are_not_in_the_way(router: NginxRouter) -> None:
    wanted = published(router)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(router.layout.front(wanted.id)))
        router.check_free(wanted)


def test_every_path_of_a_socket_fits_on_a_production_host() -> None:
    layout = NginxLayout()
    wanted = spec(slug="a" * 63, domain_id=9_999_999_999)
    paths = (
        layout.web(wanted.id),
        layout.front(wanted.id),
        layout.address(wanted.domain_id, wanted.slug) / layout.socket_name,
    )
    assert all(len(str(path).encode()) <= SOCKET_PATH_BYTES for path in paths)


def test_a_path_that_is_too_long_for_a_socket_is_refused(layout: NginxLayout) -> None:
    router = NginxRouter(NginxLayout(layout.data_dir / ("x" * 60), layout.runtime))
    with pytest.raises(PathTooLong, match="shorter"):
        router.check_free(spec())


def test_a_mode_without_rules_is_refused(router: NginxRouter) -> None:
    with pytest.raises(ModeUnsupported, match="subdomain_nossl"):
        router.check_free(spec(mode="path"))
    with pytest.raises(ModeUnsupported):
        published(router, mode="path")
    assert not list(router.layout.by_name.iterdir())


@pytest.mark.parametrize("slug", ["", "..", ".", "a/b", "A", "a\n", "-a", "a" * 64])
def test_no_path_is_made_of_what_is_not_a_slug(layout: NginxLayout, slug: str) -> None:
    with pytest.raises(ValueError):
        layout.address(1, slug)


@pytest.mark.parametrize(
    ("mode", "url"),
    [("subdomain", "https://event.assembly.example.org/"), ("subdomain_nossl", "http://event.assembly.example.org/")],
)
def test_the_url_follows_the_mode(router: NginxRouter, mode: str, url: str) -> None:
    wanted = spec(slug="event", mode=mode)
    assert router.url(wanted.location) == url
    assert f"event.{DOMAIN}" in router.hosts(wanted)


def test_addresses_are_listed_with_the_instances_that_they_lead_to(router: NginxRouter, layout: NginxLayout) -> None:
    one, other = published(router), published(router, domain_id=2)
    (layout.by_name / "1" / "somebody-elses").symlink_to(Path("/srv/elsewhere") / one.id / "public")
    (layout.by_name / "1" / "nowhere").symlink_to("nowhere")
    (layout.by_name / "1" / "directory").mkdir()
    (layout.by_name / "file").touch()
    assert set(router.published()) == {
        (layout.by_name / "1" / one.slug, one.id),
        (layout.by_name / "2" / other.slug, other.id),
    }


def test_nothing_is_published_before_the_first_domain(layout: NginxLayout) -> None:
    layout.by_name.rmdir()
    assert list(NginxRouter(layout).published()) == []


def test_an_address_is_taken_away_only_while_it_leads_to_that_instance(router: NginxRouter) -> None:
    one, other = published(router), published(router, domain_id=2)
    address = router.layout.by_name / "1" / one.slug
    router.unpublish(address, other.id)
    router.unpublish(router.layout.public(one.id).directory / "sock", one.id)
    assert len(router.published()) == 2
    for _again in range(2):
        router.unpublish(address, one.id)
        assert [number for _address, number in router.published()] == [other.id]
    assert not address.parent.exists()
    assert router.layout.public(one.id).directory.exists()


def test_drafts_of_writers_that_were_killed_are_cleared(router: NginxRouter) -> None:
    wanted = published(router)
    public, address = router.layout.public(wanted.id), router.layout.address(wanted.domain_id, wanted.slug)
    before = tree_of(public.directory)
    neighbour = address.with_name(".another.0123abcd.new")
    neighbour.symlink_to("being made")
    for clear in (router.resume, lambda spec: router.publish(spec, Path("/srv/openslides/versions/3/static"), 3)):
        (public.directory / ".stopped.0123abcd.new").touch()
        (public.pages / ".starting.de.html.0123abcd.new").touch()
        clear(wanted)
        assert tree_of(public.directory) == before
    address.with_name(f".{address.name}.0123abcd.new").symlink_to("half made")
    router.publish(wanted, Path("/srv/openslides/versions/3/static"), 3)
    assert sorted(path.name for path in address.parent.iterdir()) == [neighbour.name, address.name]
