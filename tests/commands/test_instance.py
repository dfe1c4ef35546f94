"""manage.py instance: what is filed, what is printed, and the exit codes that scripts rely on."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances.choices import OperationKind, Origin, Outcome, State
from instances.models import Instance, Operation, StateChange
from tests.commands.conftest import Run
from tests.conftest import PROJECT
from tests.factories import make_domain, make_host, make_installed, make_instance, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def surroundings() -> None:
    make_host()
    make_domain(domain="example.org", default=True)
    make_version(name="3.3", default=True)


@pytest.mark.usefixtures("surroundings")
def test_add_takes_the_defaults_and_files_the_creation(manage: Run) -> None:
    answer = manage("instance", "add", "assembly", "--event-name", "Annual assembly")
    assert answer.code == 0
    instance = Instance.objects.get()
    assert (instance.slug, instance.domain.domain, instance.version.name) == ("assembly", "example.org", "3.3")
    assert instance.event_name == "Annual assembly"
    operation = Operation.objects.get()
    assert (operation.kind, operation.requested_via) == (OperationKind.CREATE, Origin.COMMAND)
    assert f"Operation {operation.pk} is filed" in answer.out


@pytest.mark.usefixtures("surroundings")
def test_add_answers_json_with_the_operation(manage: Run) -> None:
    document = json.loads(manage("instance", "add", "assembly", "--json").out)
    assert (document["kind"], document["status"]) == ("create", "queued")
    assert document["instance"] == Instance.objects.get().pk


@pytest.mark.usefixtures("surroundings")
def test_add_reads_a_password_from_a_file(manage: Run, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    assert manage("instance", "add", "assembly", "--superadmin-password-file", str(file)).code == 0
    assert Instance.objects.get().superadmin_password == "from a file"


@pytest.mark.usefixtures("surroundings")
def test_add_reads_a_password_from_standard_input(manage: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed in\nand more\n"))
    assert manage("instance", "add", "assembly", "--superadmin-password-file", "-").code == 0
    assert Instance.objects.get().superadmin_password == "typed in"


@pytest.mark.usefixtures("surroundings")
def test_no_option_takes_a_password_itself(manage: Run) -> None:
    """It would stand in the list of processes and in the shell's history."""
    answer = manage("instance", "add", "assembly", "--superadmin-password=very-secret")
    assert answer.code != 0
    assert not Instance.objects.exists()


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["Bad_Slug"], "--slug"),
        (["x", "--event-name", "two\nlines"], "--event-name"),
        (["x", "--event-name", "x" * 10_000], "--event-name"),
        (["x", "--admin-username", "admin"], "--admin-username"),
        (["x", "--superadmin-password-file", "/nonexistent"], "/nonexistent"),
        (["x", "--superadmin-password-file", "/dev/null"], "empty"),
    ],
)
def test_add_names_the_option_that_is_wrong(manage: Run, arguments: list[str], word: str) -> None:
    answer = manage("instance", "add", *arguments)
    assert answer.code == 2
    assert word in answer.error
    assert not Instance.objects.exists()


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("option", ["--domain", "--version"])
def test_add_lists_what_there_is_when_something_is_unknown(manage: Run, option: str) -> None:
    answer = manage("instance", "add", "x", option, "unknown")
    assert answer.code == 3
    assert ("example.org" if option == "--domain" else "3.3") in answer.error


@pytest.mark.usefixtures("surroundings")
def test_add_refuses_a_slug_that_is_taken(manage: Run) -> None:
    manage("instance", "add", "assembly")
    answer = manage("instance", "add", "assembly")
    assert answer.code == 2
    assert "slug" in answer.error
    assert Instance.objects.count() == 1


@pytest.mark.usefixtures("surroundings")
def test_add_refuses_the_control_plane_s_own_name(manage: Run, settings: Settings) -> None:
    settings.DEPLOYMENT, settings.ALLOWED_HOSTS = "systemd", ["openslides.example.org"]
    answer = manage("instance", "add", "openslides")
    assert (answer.code, "--slug" in answer.error) == (2, True)
    assert not Instance.objects.exists()


def test_without_versions_the_error_says_how_to_add_one(manage: Run) -> None:
    make_host()
    make_domain(default=True)
    answer = manage("instance", "add", "assembly")
    assert (answer.code, "manage.py version add" in answer.error) == (3, True)


def test_list_shows_present_instances_only(manage: Run) -> None:
    make_installed(slug="present")
    make_installed(slug="gone", removed_at=timezone.now())
    answer = manage("instance", "list")
    assert "present" in answer.out
    assert "gone" not in answer.out


def test_list_can_be_narrowed_to_a_state(manage: Run) -> None:
    make_installed(slug="one")
    make_installed(slug="two", observed_state=State.STOPPED)
    documents = json.loads(manage("instance", "list", "--state", "stopped", "--json").out)
    assert [document["slug"] for document in documents] == ["two"]


def test_an_error_with_json_leaves_standard_output_empty(manage: Run) -> None:
    answer = manage("instance", "show", "unknown", "--json")
    assert (answer.code, answer.out) == (3, "")


def test_a_removed_instance_is_not_found_any_more(manage: Run) -> None:
    make_installed(slug="assembly", removed_at=timezone.now())
    assert manage("instance", "show", "assembly").code == 3


def test_a_slug_is_not_a_pattern(manage: Run) -> None:
    make_installed(slug="assembly")
    for name in ("assembl", "%", "assembly.", ".", ""):
        assert manage("instance", "show", name).code == 3


def test_an_empty_list_says_how_to_go_on(manage: Run) -> None:
    assert "manage.py instance add" in manage("instance", "list").out


def test_show_hides_the_passwords_until_asked(manage: Run) -> None:
    instance = make_installed(slug="assembly", superadmin_password="very-secret")
    assert "very-secret" not in manage("instance", "show", "assembly").out
    assert "very-secret" not in manage("instance", "show", instance.pk, "--json").out
    assert "very-secret" in manage("instance", "show", "assembly", "--credentials").out


def test_an_instance_is_found_by_id_slug_and_full_name(manage: Run) -> None:
    instance = make_installed(slug="assembly")
    for name in (instance.pk, "assembly", str(instance)):
        assert manage("instance", "show", name).code == 0


def test_a_slug_of_several_instances_is_refused_with_their_names(manage: Run) -> None:
    one, two = make_installed(slug="same"), make_installed(slug="same")
    answer = manage("instance", "stop", "same")
    assert answer.code == 2
    assert str(one) in answer.error
    assert str(two) in answer.error


@pytest.mark.parametrize("action", ["show", "start", "stop"])
def test_an_unknown_instance_is_exit_code_3(manage: Run, action: str) -> None:
    assert manage("instance", action, "unknown").code == 3


@pytest.mark.parametrize("action", ["start", "stop"])
def test_start_and_stop_file_their_operation(manage: Run, action: str) -> None:
    make_installed(slug="assembly")
    assert manage("instance", action, "assembly").code == 0
    assert Operation.objects.get().kind == action


def test_start_tries_a_failed_creation_again(manage: Run) -> None:
    make_instance(slug="assembly", failure=OperationKind.CREATE)
    assert manage("instance", "start", "assembly").code == 0
    assert Operation.objects.get().kind == OperationKind.CREATE


def test_a_busy_instance_is_exit_code_1_and_names_what_runs(manage: Run) -> None:
    make_installed(slug="assembly")
    manage("instance", "stop", "assembly")
    answer = manage("instance", "start", "assembly")
    assert answer.code == 1
    assert str(Operation.objects.get().pk) in answer.error


def test_update_files_the_target(manage: Run) -> None:
    make_installed(slug="assembly", version=make_version(name="3.2"))
    target = make_version(name="3.3")
    assert manage("instance", "update", "assembly", "3.3").code == 0
    assert Operation.objects.get().version == target


def test_remove_does_nothing_without_a_confirmation(manage: Run) -> None:
    make_installed(slug="assembly")
    answer = manage("instance", "remove", "assembly")
    assert (answer.code, "--yes" in answer.error) == (2, True)
    assert not Operation.objects.exists()
    assert manage("instance", "remove", "assembly", "--yes").code == 0
    assert Operation.objects.get().kind == OperationKind.REMOVE


def test_update_refuses_an_older_version(manage: Run) -> None:
    make_installed(slug="assembly", version=make_version(name="3.3"))
    make_version(name="3.2")
    assert manage("instance", "update", "assembly", "3.2").code == 1
    assert not Operation.objects.exists()


def test_update_to_an_unknown_version_lists_what_there_is(manage: Run) -> None:
    make_installed(slug="assembly", version=make_version(name="3.3"))
    answer = manage("instance", "update", "assembly", "9.9")
    assert (answer.code, "3.3" in answer.error) == (3, True)


def test_waiting_has_an_end(manage: Run) -> None:
    make_installed(slug="assembly")
    answer = manage("instance", "stop", "assembly", "--wait", "--timeout", "0.2")
    assert answer.code == 4
    assert Operation.objects.get().status == Outcome.QUEUED


def test_waiting_says_when_no_worker_is_heard_of(manage: Run) -> None:
    make_installed(slug="assembly", host=make_host(last_seen=None))
    answer = manage("instance", "stop", "assembly", "--wait", "--timeout", "0.2")
    assert answer.code == 4
    assert "make run" in answer.error


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["start"], ["stop", "x", "--timeout", "soon"], ["list", "x"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "instance", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: manage.py instance" in done.stderr


def test_the_exit_codes_are_in_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "instance", "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0
    for code in range(5):
        assert f"\n  {code}  " in done.stdout


def test_without_a_database_the_error_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "instance", "list"],
        cwd=PROJECT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_history_tells_the_availability_and_the_time_in_each_state(manage: Run) -> None:
    instance, now = make_installed(slug="assembly"), timezone.now()
    assert "Nothing is known" in manage("instance", "history", "assembly").out
    for hours, state in ((4, State.ACTIVE), (2, State.ERROR), (1, State.ACTIVE)):
        StateChange.objects.create(instance=instance, state=state, at=now - timedelta(hours=hours))
    shown = manage("instance", "history", "assembly").out
    # A busy machine may need some minutes to ask.
    assert re.search(r" 75(\.\d+)? %, outages: 1, down: 1:00:00\b", shown)
    active, error = (line.split() for line in shown.splitlines()[-2:])
    assert re.fullmatch(r"3:0\d:\d\d", active[1])
    assert (active[0], error) == ("active", ["error", "1:00:00"])
    document = json.loads(manage("instance", "history", "assembly", "--days", "1", "--json").out)
    assert (document["availability"], document["outages"]) == (75.0, 1)
    Instance.objects.update(removed_at=timezone.now())
    assert manage("instance", "history", "assembly").code == 0


@pytest.mark.parametrize("days", ["0", "x", "-3", "99999"])
def test_history_refuses_days_that_are_none(manage: Run, days: str) -> None:
    make_installed(slug="assembly")
    assert "is no number of days" in manage("instance", "history", "assembly", f"--days={days}").error


def test_try_again_files_what_was_tried_in_vain(manage: Run) -> None:
    instance = make_installed(attention="5 tries were in vain.", retries=5)
    assert "5 tries were in vain." in manage("instance", "show", instance.slug).out
    assert manage("instance", "try-again", instance.slug).code == 0
    operation = Operation.objects.get()
    assert (operation.kind, operation.requested_via) == (OperationKind.START, Origin.COMMAND)
    instance.refresh_from_db()
    assert instance.attention == ""


def test_try_again_says_when_there_is_nothing_to_try(manage: Run) -> None:
    answer = manage("instance", "try-again", make_installed().slug)
    assert answer.code == 1
    assert "nothing to try again" in answer.error
