"""A text column that is encrypted at rest."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.query_utils import DeferredAttribute

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class CannotDecrypt(Exception):
    """None of the keys in FIELD_ENCRYPTION_KEYS opens the stored value."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(
            f"The stored {field} cannot be decrypted with any of FIELD_ENCRYPTION_KEYS. "
            "Put the key back with which it was written (it may stand behind the current one)."
        )


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS holds a value that is not a Fernet key. Make one with "
            "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'`."
        ) from None


def cipher() -> MultiFernet:
    """The first key of FIELD_ENCRYPTION_KEYS encrypts, all decrypt (Fernet: AES-128-CBC with HMAC-SHA256)."""
    return _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS))


class Ciphertext(str):
    """A value as it is stored."""

    __slots__ = ()


class DecryptedAttribute(DeferredAttribute):
    """Decrypts a stored value when it is first read, so that a list of rows costs no decryption and needs no key."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        """Raises CannotDecrypt."""
        value = super().__get__(instance, cls)
        if not isinstance(value, Ciphertext):
            return value
        try:
            plain = cipher().decrypt(value.encode()).decode()
        except InvalidToken:
            raise CannotDecrypt(self.field.name) from None
        instance.__dict__[self.field.attname] = plain
        return plain

    def __set__(self, instance: Any, value: Any) -> None:
        # That it is here makes this a data descriptor, which Python asks before the instance's own dictionary.
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(_TextField):
    """Text that only its owner with a key of FIELD_ENCRYPTION_KEYS can read; empty stays empty.

    It cannot be searched or sorted by: the same text is another ciphertext every time. ``values()`` gives ciphertext.
    """

    description = "Encrypted text"
    descriptor_class = DecryptedAttribute

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Ciphertext):
            return str(value)
        text = super().get_prep_value(value)
        return cipher().encrypt(text.encode()).decode() if text else text

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        return Ciphertext(value) if value else value
