"""The file by which the control plane tells root of a domain: JSON, checked as if an enemy had written it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from dataclasses import asdict, dataclass

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
MOST_DOMAIN_BYTES = 189
"""253 (RFC 1035, section 2.3.4, as text) less a slug of 63 letters and its dot."""
FILE_NAME = re.compile(r"([1-9][0-9]{0,9})\.json")
CERTIFICATE_PATH = re.compile(r"(/[A-Za-z0-9@_+-][A-Za-z0-9@_+.-]*)+")
"""No component begins with a dot, so none is ``..``; no letter that nginx's configuration gives a meaning to."""
MOST_BYTES = 65_536


class DomainUnusable(Exception):
    """Why a domain's file is not used. The text never repeats what the file holds: it may not be the domain's file."""


@dataclass(frozen=True, slots=True)
class DomainFile:
    """A domain below which instances have their addresses.

    ``certificate`` and ``certificate_key``: paths of PEM files, both or neither; without, the host's own are used.
    """

    id: int
    domain: str
    certificate: str | None = None
    certificate_key: str | None = None

    @property
    def name(self) -> str:
        return f"{self.id}.json"

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        return digest_of(self.text.encode())


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes, domain_id: int) -> DomainFile:
    """Raises DomainUnusable."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise DomainUnusable("the file is not JSON") from None
    if not isinstance(fields, dict) or set(fields) != {"id", "domain", "certificate", "certificate_key"}:
        raise DomainUnusable("the file has not the fields id, domain, certificate, certificate_key, and no others")
    # type() and not isinstance(): True is an int.
    if type(fields["id"]) is not int or fields["id"] != domain_id:
        raise DomainUnusable("the id is not the one in the file's name")
    name = fields["domain"]
    if not isinstance(name, str) or len(name) > MOST_DOMAIN_BYTES or not DOMAIN.fullmatch(name):
        raise DomainUnusable(
            "the domain is not a domain name in lower case (labels of a-z, 0-9 and hyphens, joined by dots, "
            f"{MOST_DOMAIN_BYTES} letters at most)"
        )
    certificate, key = fields["certificate"], fields["certificate_key"]
    if (certificate is None) != (key is None):
        raise DomainUnusable("a certificate and its key are named together, or none of them")
    for path in (certificate, key):
        if path is not None and not (isinstance(path, str) and CERTIFICATE_PATH.fullmatch(path)):
            raise DomainUnusable(
                "the path of the certificate or of its key is not an absolute path of letters, digits and @ _ + - ."
            )
    return DomainFile(domain_id, name, certificate, key)


def read_untrusted(directory: int, name: str, owners: frozenset[int]) -> bytes:
    """The content of a small regular file of one of ``owners`` in an open directory; follows no link, hard or symbolic.

    Raises DomainUnusable.
    """
    try:
        # O_NONBLOCK: the opening of a FIFO would wait for a writer (fifo(7)).
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DomainUnusable("it is a symbolic link") from None
        raise DomainUnusable(f"the file cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DomainUnusable("it is not a regular file")
        if found.st_nlink != 1:
            raise DomainUnusable("the file has another name (a hard link)")
        if found.st_uid not in owners:
            raise DomainUnusable("the file belongs neither to the service user nor to root")
        content = os.read(descriptor, MOST_BYTES + 1)
    except OSError as error:
        raise DomainUnusable(f"the file cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise DomainUnusable(f"the file is larger than {MOST_BYTES} bytes")
    return content
