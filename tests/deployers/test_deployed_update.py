"""Updates of real OpenSlides instances: they work, or the old version and the old data are back."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.errors import (
    CommandFailed,
    CommandTimedOut,
    DataOfOtherRelease,
    NotPrepared,
    NotReady,
    StoreFailed,
    Unhealthy,
)
from deployers.parts import Timeouts
from deployers.plan import Plan, Serving
from deployers.routers.direct import DirectRouter
from deployers.spec import InstanceSpec
from deployers.states import UnitState
from tests.deployers.host import (
    ADMIN_PASSWORD,
    SUPERADMIN_PASSWORD,
    VERSIONS,
    Browser,
    Host,
    and_then_fails,
    link_version,
    run,
    version,
)


def logged_in(host: Host, spec: InstanceSpec, major: int = 3) -> Browser:
    browser = Browser(host.deployer.url(spec.location), major)
    assert browser.login("admin", SUPERADMIN_PASSWORD)
    return browser


def fake_version(host: Host, script: str) -> None:
    """Put a 3.3 into the host whose Python is ``script``, a shell script; ``$python`` is the real one."""
    real = VERSIONS / version("3.3").directory_name
    fake = host.data_dir / "versions" / version("3.3").directory_name
    shutil.rmtree(fake)
    (fake / "venv" / "bin").mkdir(parents=True)
    for name in ("prepared.json", "template.sqlite", "static", "venv/lib"):
        (fake / name).symlink_to(real / name)
    python = fake / "venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\npython='{real}/venv/bin/python'\n{script}\n")
    python.chmod(0o700)


@pytest.fixture
def genuine(host: Host) -> Path:
    """Puts the real 3.3 back after the test."""
    link = host.data_dir / "versions" / version("3.3").directory_name
    yield link  # type: ignore[misc]
    if not (link / "venv").is_symlink():
        os.rename(link, host.data_dir / "versions" / f"fake-{host.made}")
        link_version(link)


@pytest.mark.parametrize("release", ["3.2", "2.3"])
def test_an_update_keeps_the_data_and_the_new_version_answers(host: Host, release: str) -> None:
    spec = host.create(release)
    before = logged_in(host, spec, int(release[0]))
    if release == "3.2":
        before.add_topic("A topic from before")
    run(host.deployer.update(spec, version("3.3"), token="7", archive=host.archive("update")))
    after = logged_in(host, spec)
    assert after.version() == "3.3"
    assert after.config()["general_event_name"] == "Annual assembly 2026"
    assert Browser(after.url).login("anna", ADMIN_PASSWORD)
    if release == "3.2":
        assert after.topics() == ["A topic from before"]
    assert [path.name for path in (host.directory(spec) / "previous").iterdir()] == ["7"]
    run(host.deployer.remove(spec))
    assert host.nothing_left_of(spec)


def test_a_stopped_instance_is_stopped_after_its_update(host: Host) -> None:
    spec = host.create("3.2")
    run(host.deployer.stop(spec))
    run(host.deployer.update(spec, version("3.3"), token="8", archive=host.archive("update"), running=False))
    assert host.deployer.states()[spec.id] == UnitState.STOPPED
    updated = host.spec("3.3", id=spec.id, port=spec.port)
    run(host.deployer.start(updated))
    assert logged_in(host, spec).version() == "3.3"
    run(host.deployer.remove(spec))


LOSES_ROWS = """case "$*" in *migrate*)
    "$python" "$@" || exit 1
    exec "$python" -c '
import sqlite3, settings
connection = sqlite3.connect(settings.DATABASES["default"]["NAME"])
for table in ("agenda_item", "agenda_listofspeakers", "topics_topic"):
    connection.execute(f"DELETE FROM {table}")
connection.commit()
';;
esac
exec "$python" "$@"
"""

NO_LOGIN = """case "$*" in *daphne*) exec "$python" -c '
import http.server, json, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if self.path == "/login" else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"openslides_version": "3.3"}).encode())
port = int(sys.argv[sys.argv.index("-p") + 1])
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
' "$@";;
esac
exec "$python" "$@"
"""


def within(limits: Timeouts, host: Host, spec: InstanceSpec, running: bool) -> Plan:
    """The plan of an update that is under these limits, while its going back is not."""

    def plan(**settings: Timeouts) -> Plan:
        host.use(**settings)
        return host.deployer.update(spec, version("3.3"), token="9", archive=host.archive("update"), running=running)

    return tuple(replace(step, undo=other.undo) for step, other in zip(plan(timeouts=limits), plan(), strict=True))


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ('case "$*" in *migrate*) echo no such table; exit 1;; esac; exec "$python" "$@"', CommandFailed),
        ('case "$*" in *daphne*) echo cannot start; exit 3;; esac; exec "$python" "$@"', NotReady),
        (
            f"case \"$*\" in *daphne*) python='{VERSIONS / version('3.2').directory_name}/venv/bin/python';; esac; "
            'exec "$python" "$@"',
            NotReady,
        ),
        ('case "$*" in *migrate*) exec sleep 1000;; esac; exec "$python" "$@"', CommandTimedOut),
        (LOSES_ROWS, Unhealthy),
        (NO_LOGIN, Unhealthy),
    ],
    ids=[
        "migration fails",
        "server does not start",
        "another version answers",
        "migration hangs",
        "rows are lost",
        "no log-in page",
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_failed_update_brings_the_old_version_and_data_back(
    host: Host, genuine: Path, script: str, error: type[Exception], running: bool
) -> None:
    spec = host.create("3.2")
    logged_in(host, spec).add_topic("A topic from before")
    if not running:
        run(host.deployer.stop(spec))
    fake_version(host, script)
    limits = Timeouts(ready=12 if error is NotReady else 240, migrate=2 if error is CommandTimedOut else 600)
    with pytest.raises(error):
        run(within(limits, host, spec, running))
    assert (host.deployer.states()[spec.id] == UnitState.STOPPED) is not running
    if not running:
        run(host.deployer.start(spec))
    after = logged_in(host, spec)
    assert after.version() == "3.2"
    assert after.topics() == ["A topic from before"]
    assert not list((host.directory(spec) / "previous").iterdir())
    run(host.deployer.remove(spec))


def test_an_update_to_a_version_that_is_not_prepared_touches_nothing(host: Host) -> None:
    spec = host.create("3.2")
    pid = host.pid(spec)
    with pytest.raises(NotPrepared):
        run(host.deployer.update(spec, version("3.1"), token="10", archive=host.archive("update")))
    assert host.pid(spec) == pid
    run(host.deployer.remove(spec))


def test_an_update_that_failed_works_once_the_cause_is_gone(host: Host) -> None:
    spec = host.create("3.2")
    plan = host.deployer.update(spec, version("3.3"), token="11", archive=host.archive("update"))
    for step in plan[1:]:
        with pytest.raises(Exception, match="No space left"):
            run(and_then_fails(plan, after=step.name))
        assert logged_in(host, spec).version() == "3.2"
    run(plan)
    assert logged_in(host, spec).version() == "3.3"
    run(host.deployer.remove(spec))


def test_data_of_a_newer_version_is_never_run_with_an_older_one(host: Host) -> None:
    spec = host.create("3.2")
    run(host.deployer.update(spec, version("3.3"), token="12", archive=host.archive("update")))
    run(host.deployer.stop(spec))
    with pytest.raises(DataOfOtherRelease):
        run(host.deployer.start(spec))
    run(host.deployer.remove(spec))


def test_a_backup_is_written_between_stop_and_migration_and_is_kept_by_a_run_after_it(host: Host) -> None:
    spec = host.create("3.2")
    archive = host.archive(f"port-{spec.port}")
    plan = host.deployer.update(spec, version("3.3"), token="13", archive=archive)
    run(plan)
    facts = archive.store.facts(archive.name)
    logged_in(host, spec).add_topic("Written in the new version")
    run(plan)
    assert archive.store.facts(archive.name) == facts
    serving = [step.serving for step in plan if step.serving is not None]
    assert serving == [Serving.ENDS, Serving.RETURNS]
    run(host.deployer.remove(spec))


def test_the_backup_is_never_one_of_the_new_data(host: Host) -> None:
    """A going back may die when the new data are still in place, and count as not switched any more."""
    spec = host.create("3.2")
    archive = host.archive(f"port-{spec.port}")
    plan = host.deployer.update(spec, version("3.3"), token="14", archive=archive)
    run(plan)
    (host.directory(spec) / "previous" / "14" / "switched").unlink()
    archive.store.delete(archive.name)
    with pytest.raises(StoreFailed):
        run(plan)
    assert logged_in(host, spec).version() == "3.2"
    run(host.deployer.remove(spec))


def test_what_was_healthy_once_stays_whatever_people_delete_since(host: Host) -> None:
    spec = host.create("3.2")
    logged_in(host, spec).add_topic("A topic from before")
    plan = host.deployer.update(spec, version("3.3"), token="15", archive=host.archive(f"port-{spec.port}"))
    run(plan)
    logged_in(host, spec).delete_topics()
    run(plan)
    after = logged_in(host, spec)
    assert after.version() == "3.3"
    assert after.topics() == []
    run(host.deployer.remove(spec))


class Front(DirectRouter):
    """Like the embedded host's, with a front that notes what it shows, and which OpenSlides answers behind it."""

    has_front = False

    def __init__(self, host: Host) -> None:
        self.host = host
        self.shown: list[tuple[str, str]] = []

    def update(self, spec: InstanceSpec, token: str, running: bool = True) -> Plan:
        """An update's plan as where there is a front; the settings are those of an OpenSlides without one."""
        self.has_front = True
        try:
            archive = self.host.archive(f"port-{spec.port}")
            return self.host.deployer.update(spec, version("3.3"), token=token, archive=archive, running=running)
        finally:
            self.has_front = False

    def _show(self, spec: InstanceSpec, what: str) -> None:
        try:
            behind = Browser(self.host.deployer.url(spec.location)).version()
        except OSError:
            behind = "nobody"
        self.shown.append((what, behind))

    def publish(self, spec: InstanceSpec, static: Path, major: int) -> None:
        self._show(spec, "instance")

    def announce(self, spec: InstanceSpec) -> None:
        self._show(spec, "being updated")

    def pause(self, spec: InstanceSpec) -> None:
        self._show(spec, "inactive")


@pytest.fixture
def front(host: Host) -> Front:
    """Stands before the instances that are changed from now on."""
    made = Front(host)
    host.deployer.parts = replace(host.deployer.parts, router=made)
    yield made  # type: ignore[misc]
    host.use()


@pytest.mark.parametrize("running", [True, False])
def test_nobody_comes_in_before_the_health_check(host: Host, front: Front, running: bool) -> None:
    spec = host.create("3.2")
    if not running:
        run(host.deployer.stop(spec))
    front.shown.clear()
    plan = front.update(spec, "16", running)
    run(plan)
    serving = [step.serving for step in plan if step.serving is not None]
    if running:
        assert front.shown == [("being updated", "3.2"), ("instance", "3.3")]
        assert serving == [Serving.ENDS, Serving.RETURNS]
    else:
        assert front.shown == [("being updated", "nobody"), ("instance", "nobody"), ("inactive", "nobody")]
        assert serving == [Serving.RETURNS]
    run(host.deployer.remove(spec))


def test_a_failed_update_withdraws_what_it_announced(host: Host, genuine: Path, front: Front) -> None:
    spec = host.create("3.2")
    logged_in(host, spec).add_topic("A topic from before")
    fake_version(host, LOSES_ROWS)
    front.shown.clear()
    with pytest.raises(Unhealthy, match="agenda_item had 1 rows before, and has 0 now"):
        run(front.update(spec, "17"))
    assert front.shown[:2] == [("being updated", "3.2"), ("being updated", "3.3")]
    assert {what for what, _behind in front.shown[2:]} == {"instance"}
    assert logged_in(host, spec).topics() == ["A topic from before"]
    run(host.deployer.remove(spec))
