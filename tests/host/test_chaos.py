"""A bounded share of the chaos on the booted host, on the machine of these tests; all of it is in ``make chaos``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.booted import STORMS, Target, storm
from tests.chaos.report import Report
from tests.host.machine import Machine

KINDS = ("create", "stop", "start", "backup", "restore", "update", "remove")
PLACES_OF_EACH = {"ROUNDS": "0", "POINTS": "1"}
"""Chosen anew each time; the output says by which seed."""


@pytest.fixture(scope="module")
def target(machine: Machine) -> Iterator[Target]:
    with Target(machine) as made:
        yield made


def good(report: Report) -> None:
    text = "\n".join(report.lines())
    print(text)
    assert report.is_good, text
    assert report.rows


def test_the_scan_finds_what_is_planted(target: Target) -> None:
    good(target.inside("planted"))


def test_workers_that_are_killed(target: Target) -> None:
    good(target.inside("kill", *KINDS, environment=PLACES_OF_EACH))


@pytest.mark.parametrize("name", ["podman fails", "power cut"])
def test_a_storm(target: Target, name: str) -> None:
    assert name in STORMS
    good(storm(target, name))
