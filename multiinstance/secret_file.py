"""The secrets that a fresh installation makes for itself: one 0600 file in the data directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

NAMES = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS")


def load_or_create(data_dir: Path) -> dict[str, str]:
    """The values of ``DATA_DIR/secrets.env`` by name; makes the file, atomically, where there is none.

    Raises OSError when the directory cannot be written.
    """
    path = data_dir / "secrets.env"
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = f"SECRET_KEY={secrets.token_urlsafe(50)}\nFIELD_ENCRYPTION_KEYS={Fernet.generate_key().decode()}\n"
        write_once(path, fresh)
    lines = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name: value for name, _, value in lines if name in NAMES}


def write_once(path: Path, text: str) -> bool:
    """Write a 0600 file completely or not at all; False, and nothing written, where it is there already."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        # link(2) fails where the name exists, so of two first runs at once only one makes the file.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
