"""What a production host is tested with is what its set-up installs."""

from __future__ import annotations

import re

import yaml

from tests.conftest import PROJECT

NOT_INSTALLED = {
    "systemd-sysv": "there before: make host refuses a machine without systemd",
    "iproute2": "for the tests, which make a network for the machine",
    "conmon": "podman depends on it",
    "netavark": "containers have no network",
    "aardvark-dns": "containers have no network",
}
"""What continuous integration installs by name, and the set-up need not, and why."""


def of_tested_host() -> set[str]:
    lines = iter((PROJECT / ".ci" / "run").read_text().splitlines())
    next(line for line in lines if "# A booted production host" in line)
    return set(next(lines).split())


def installed_by_the_setup() -> set[str]:
    tasks = yaml.safe_load((PROJECT / "deployers/setup/roles/packages/tasks/main.yml").read_text())
    needed = next(task["vars"]["needed"] for task in tasks if "needed" in task.get("vars", {}))
    return set(re.findall(r"'([a-z0-9.+-]+)'", needed)) - {"rkt"}


def test_every_package_of_the_tested_host_is_installed_by_its_setup() -> None:
    assert of_tested_host() - installed_by_the_setup() == set(NOT_INSTALLED)
