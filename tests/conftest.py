"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def versions_dir() -> Path:
    """Where prepared OpenSlides versions are kept, also for the next run: TEST_VERSIONS_DIR, or below var/.

    A half prepared one is never used: its prepared.json is written last.
    """
    directory = Path(os.environ.get("TEST_VERSIONS_DIR", PROJECT / "var" / "test-versions"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
