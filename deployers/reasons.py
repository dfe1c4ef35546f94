"""Why a step failed, in words that an operator can act on."""

from __future__ import annotations

import errno
import os

ADVICE = {
    errno.ENOSPC: "The disk is full: make room there (df -h, df -i), then try again.",
    errno.EDQUOT: "The quota of the disk is used up: raise it or make room there, then try again.",
    errno.EROFS: "The file system is read-only, as after an error of the disk: see dmesg, then try again.",
    errno.EIO: "The disk has an error: see dmesg before anything is tried again.",
    errno.EMFILE: "The worker has too many files open: raise its LimitNOFILE=, then try again.",
    errno.ENFILE: "The host has too many files open: raise fs.file-max, then try again.",
}
"""By errno(3): what the system's own few words leave out."""


def reason_of(error: Exception) -> str:
    """The text of an error of a step; of the system's errors, with the file and what to do."""
    if not isinstance(error, OSError) or error.errno not in ADVICE:
        return str(error) or type(error).__name__
    what = os.strerror(error.errno)
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    return f"{what}{where}. {ADVICE[error.errno]}"
