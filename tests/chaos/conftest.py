"""One product for all of the chaos on the embedded host, and the table at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.report import Report
from tests.embedded.conftest import make_product, product  # noqa: F401
from tests.embedded.product import Product

ROUNDS = int(os.environ.get("ROUNDS", "1"))
_report = Report()


@pytest.fixture(scope="session")
def rounds() -> int:
    return ROUNDS


@pytest.fixture(scope="session")
def report() -> Report:
    return _report


@pytest.fixture(scope="session")
def chaos_product(make_product: type[Product]) -> Product:  # noqa: F811
    """One that looks after its host often, so that what is waited for is the work and not the clock."""
    # Nor does it verify backups by itself, which would go on while a disk is taken away from under it.
    settings = {"REFRESH_SECONDS": "0.5", "OPERATIONS_AT_ONCE": "6", "BACKUP_VERIFY_HOURS": "0"}
    made = make_product(settings)  # type: ignore[arg-type]
    made.start()
    for name in ("3.2", "3.3"):
        made.manage("version", "prepare", name, "--wait", expect=0)
    return made


@pytest.fixture(scope="session")
def fleet(chaos_product: Product) -> Iterator[Fleet]:
    made = Fleet(chaos_product)
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _report.rows:
        terminalreporter.section("chaos")
        for line in _report.lines():
            terminalreporter.line(line)
