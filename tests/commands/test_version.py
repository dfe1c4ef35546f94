"""manage.py version."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from instances.choices import OperationKind
from instances.models import Operation, Version
from tests.commands.conftest import Run
from tests.conftest import PROJECT
from tests.factories import make_host, make_version

pytestmark = pytest.mark.django_db


def test_add_derives_the_image_from_the_name(manage: Run) -> None:
    assert manage("version", "add", "3.3").code == 0
    version = Version.objects.get()
    assert (version.image, version.engine, version.default) == ("pypi:openslides==3.3", "virtualenv", False)


def test_a_new_default_takes_the_mark_from_the_old(manage: Run) -> None:
    make_version(name="3.2", default=True)
    assert manage("version", "add", "3.3", "--default").code == 0
    assert Version.objects.get(default=True).name == "3.3"


@pytest.mark.parametrize("arguments", [["three"], ["3.3", "--image", "nonsense; rm"], ["3.3", "--engine", "podman"]])
def test_wrong_values_are_exit_code_2(manage: Run, arguments: list[str]) -> None:
    assert manage("version", "add", *arguments).code == 2
    assert not Version.objects.exists()


def test_a_name_is_registered_once(manage: Run) -> None:
    make_version(name="3.3")
    assert manage("version", "add", "3.3").code == 2


def test_list_marks_the_default(manage: Run) -> None:
    make_version(name="3.3", default=True)
    assert "default" in manage("version", "list").out
    assert json.loads(manage("version", "list", "--json").out)[0]["default"] is True


def test_prepare_files_the_operation(manage: Run) -> None:
    make_host()
    version = make_version(name="3.3")
    assert manage("version", "prepare", "3.3").code == 0
    operation = Operation.objects.get()
    assert (operation.kind, operation.version) == (OperationKind.PREPARE, version)


def test_a_preparation_that_is_under_way_is_refused_with_its_number(manage: Run) -> None:
    make_host()
    make_version(name="3.3")
    assert manage("version", "prepare", "3.3").code == 0
    answer = manage("version", "prepare", "3.3")
    assert (answer.code, str(Operation.objects.get().pk) in answer.error) == (1, True)


def test_waiting_joins_a_preparation_that_is_under_way(manage: Run) -> None:
    make_host()
    make_version(name="3.3")
    assert manage("version", "prepare", "3.3").code == 0
    assert manage("version", "prepare", "3.3", "--wait", "--timeout", "0.2").code == 4
    assert Operation.objects.count() == 1


def test_without_a_host_nothing_can_be_prepared(manage: Run) -> None:
    make_version(name="3.3")
    assert manage("version", "prepare", "3.3").code == 1
    assert not Operation.objects.exists()


def test_add_answers_json(manage: Run) -> None:
    document = json.loads(manage("version", "add", "3.3", "--default", "--json").out)
    assert document == {
        "name": "3.3",
        "image": "pypi:openslides==3.3",
        "engine": "virtualenv",
        "default": True,
        "enabled": True,
        "preparation": "none",
    }


def test_an_empty_list_says_how_to_go_on(manage: Run) -> None:
    assert "manage.py version add" in manage("version", "list").out


def test_preparing_something_unknown_lists_what_there_is(manage: Run) -> None:
    make_version(name="3.3")
    answer = manage("version", "prepare", "9.9")
    assert (answer.code, "3.3" in answer.error) == (3, True)


def test_the_word_version_is_ours_and_not_djangos() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "version", "--help"], cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    assert "prepare a version" in done.stdout
