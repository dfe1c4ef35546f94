"""The package that images of OpenSlides' own time import, with the Python of that time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from deployers.production import INSIDE

OPENSLIDES_3 = ("channels2.py", "elements.py", "serve3.py")
"""Its images have Python 3.6 or later."""


@pytest.mark.parametrize("file", sorted(INSIDE.rglob("*.py")), ids=lambda file: str(file.relative_to(INSIDE)))
def test_it_is_python_3_5(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 6) if file.name in OPENSLIDES_3 else (3, 5))
