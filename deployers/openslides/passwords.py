"""Password hashes as OpenSlides' Django reads them.

Format: ``pbkdf2_sha256$ITERATIONS$SALT$BASE64`` (Django's documentation, "How Django stores passwords"); it is
the same from Django 1.11 on. A password that begins with ``!`` fits nothing ("set_unusable_password").
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from concurrent.futures import ThreadPoolExecutor

ALGORITHM = "pbkdf2_sha256"
SALT_LENGTH = 12
_LETTERS = string.ascii_letters + string.digits


def hash_password(password: str, iterations: int) -> str:
    """``iterations``: those of the Django that will check it, so that it does not hash again at the first login."""
    salt = "".join(secrets.choice(_LETTERS) for _ in range(SALT_LENGTH))
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    return f"{ALGORITHM}${iterations}${salt}${base64.b64encode(digest).decode('ascii')}"


def hash_passwords(passwords: list[str], iterations: int) -> list[str]:
    """One thread for each: hashlib lets go of the interpreter's lock meanwhile."""
    with ThreadPoolExecutor(len(passwords)) as pool:
        return list(pool.map(lambda password: hash_password(password, iterations), passwords))


def iterations_of(encoded: str) -> int:
    """The iteration count in a hash. Raises ValueError for a hash of another kind."""
    parts = encoded.split("$")
    if parts[0] != ALGORITHM or len(parts) != 4:
        raise ValueError(f"not a {ALGORITHM} hash")
    return int(parts[1])


def unusable() -> str:
    """A password that nobody can have."""
    return "!" + "".join(secrets.choice(_LETTERS) for _ in range(40))
