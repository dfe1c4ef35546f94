"""Certificates that may be used: in the places that the machine's owner named, and such as nginx can load."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from deployers.routers.domain_file import DomainUnusable


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What host.json says of certificates."""

    certificate: str
    certificate_key: str
    certificate_directories: tuple[Path, ...]


class HostUnusable(Exception):
    """Something that every domain needs is missing."""


def read_facts(path: Path) -> HostFacts:
    """Raises HostUnusable."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        directories = tuple(Path(str(entry)) for entry in facts["certificate_directories"])
        return HostFacts(str(facts["certificate"]), str(facts["certificate_key"]), directories)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostUnusable(f"{path} cannot be used ({type(error).__name__}). Run the host's set-up again.") from None


def check_certificate(certificate: str, key: str) -> None:
    """As nginx will load them. Raises DomainUnusable; the texts name paths, and nothing that is in the files."""

    def refuse() -> str:
        raise DomainUnusable(f"{key} is protected by a passphrase, which nginx cannot type. Take it off")

    for path in (certificate, key):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise DomainUnusable(f"{path} cannot be read: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise DomainUnusable(f"{key} is not the key of {certificate}") from None
        raise DomainUnusable(f"{certificate} and {key} are not a certificate and its key in PEM format") from None


def certificate_problem(path: str, directories: tuple[Path, ...]) -> str | None:
    """Why a path that :func:`parse` let pass may not be used; None if it may."""
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        return f"{path} does not exist. Put it there, or name another"
    # Let's Encrypt's live/ holds links to its archive/, so a link is followed, and both its ends must lie inside.
    for place in (Path(path), real):
        if not any(place.is_relative_to(directory) for directory in directories):
            names = ", ".join(str(directory) for directory in directories)
            return f"{path} does not lie in a directory for certificates ({names})"
    return None if real.is_file() else f"{path} is not a file"
