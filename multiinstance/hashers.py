"""Password hashing for accounts of the control plane."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """Argon2id with the second parameter set of the OWASP Password Storage Cheat Sheet (19 MiB, 2 rounds, 1 lane).

    About 20 ms on one core; Django's default (100 MiB, 8 lanes) costs a multiple of it with every HTTP Basic request.
    """

    time_cost = 2
    memory_cost = 19456
    parallelism = 1
