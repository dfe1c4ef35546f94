"""Programs that some tests need: found, or the test says how to get them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def find(program: str) -> str | None:
    """The program's path, also where Debian keeps PostgreSQL's server programs."""
    found = shutil.which(program)
    if found:
        return found
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / program).is_file():
            return str(directory / program)
    return None


def require(program: str, package: str) -> str:
    """The program's path; else the test is skipped, or fails with CI=true, and says what to install."""
    found = find(program)
    if found:
        return found
    reason = f"{program} is missing. Install it: sudo apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
