"""A version is prepared once, completely or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployers.deployer import Deployer
from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.errors import CommandFailed, DeployError, PythonUnsuitable, VenvUnusable
from tests.deployers.host import and_then_fails, dies_at, run, version
from tests.observing import processes_of


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mi-") as place:
        yield Path(place)
        assert not processes_of(Path(place))


@pytest.fixture
def deployer(data_dir: Path) -> Deployer:
    return embedded_deployer(EmbeddedSettings(data_dir))


def with_python(data_dir: Path, script: str) -> Deployer:
    python = data_dir / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o700)
    return embedded_deployer(EmbeddedSettings(data_dir, python=python))


def test_a_preparation_that_was_interrupted_is_begun_again_and_kept_when_complete(
    data_dir: Path, deployer: Deployer
) -> None:
    spec = version("2.3")
    plan = deployer.prepare(spec)
    run(plan, only=2)
    assert dies_at(4, lambda: run(plan[2:]))  # in the installation
    assert (data_dir / "versions" / spec.directory_name / "venv").is_dir()
    assert not deployer.is_prepared(spec)

    run(plan)
    assert deployer.is_prepared(spec)
    directory = data_dir / "versions" / spec.directory_name
    assert sorted(path.name for path in directory.iterdir()) == ["prepared.json", "static", "template.sqlite", "venv"]
    made = (directory / "prepared.json").stat().st_mtime_ns
    run(plan)
    assert (directory / "prepared.json").stat().st_mtime_ns == made

    (directory / "template.sqlite").write_bytes(b"damaged")
    with pytest.raises(DeployError, match="No space left"):
        run(and_then_fails(plan, after=plan[0].name))
    assert not directory.exists()


def test_a_preparation_that_fails_leaves_nothing(data_dir: Path, deployer: Deployer) -> None:
    plan = deployer.prepare(version("3.3"))
    with pytest.raises(DeployError, match="No space left"):
        run(and_then_fails(plan, after="make the virtual environment"))
    assert not list((data_dir / "versions").iterdir())


def test_a_package_with_another_hash_is_not_installed(
    data_dir: Path, deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = data_dir / "locks"
    locks.mkdir()
    (locks / "build.txt").write_text(f"wheel==0.37.1 --hash=sha256:{'0' * 64}\n")
    (locks / "openslides-3.3.txt").write_text("")
    monkeypatch.setattr("deployers.engines.virtualenv.LOCKS", locks)
    with pytest.raises(CommandFailed, match=r"(?i)hashes"):
        run(deployer.prepare(version("3.3")))


def test_another_python_is_refused(data_dir: Path) -> None:
    with pytest.raises(PythonUnsuitable, match=r"python3\.11"):
        run(with_python(data_dir, "echo 3.13").prepare(version("3.3")))


def test_a_missing_python3_venv_is_named(data_dir: Path) -> None:
    script = 'case "$*" in *venv*) echo ensurepip is not available; exit 1;; esac; echo 3.11'
    with pytest.raises(VenvUnusable, match="apt-get install python3-venv"):
        run(with_python(data_dir, script).prepare(version("3.3")))


def test_a_discarded_version_is_gone(data_dir: Path, deployer: Deployer) -> None:
    directory = data_dir / "versions" / version("3.3").directory_name
    (directory / "venv").mkdir(parents=True)
    run(deployer.discard(version("3.3")))
    run(deployer.discard(version("3.3")))
    assert not list((data_dir / "versions").iterdir())
