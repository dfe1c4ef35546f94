"""Files that are there completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployers.files import copy_private


def test_a_copy_that_fails_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()  # it can be opened by nobody as a file
    with pytest.raises(IsADirectoryError):
        copy_private(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
