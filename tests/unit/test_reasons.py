"""What an operator is told of the system's errors."""

from __future__ import annotations

import errno
import os

from deployers.errors import CommandMissing
from deployers.reasons import reason_of


def test_a_full_disk_says_where_and_what_to_do() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/openslides/instances/x")
    assert reason_of(error) == (
        "No space left on device (/srv/openslides/instances/x). "
        "The disk is full: make room there (df -h, df -i), then try again."
    )


def test_an_error_without_a_file_names_none() -> None:
    assert reason_of(OSError(errno.EROFS, "")).startswith("Read-only file system. The file system is read-only")


def test_any_other_error_speaks_for_itself() -> None:
    assert (
        reason_of(FileNotFoundError(2, "No such file or directory", "/x"))
        == "[Errno 2] No such file or directory: '/x'"
    )
    assert reason_of(CommandMissing("podman")).startswith("The program podman is not installed")
    assert reason_of(ValueError()) == "ValueError"
