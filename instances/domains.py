"""Domains: what becomes of a row is brought to every host that has a web server in front."""

from __future__ import annotations

from instances import messages
from instances.choices import HostKind
from instances.models import Domain, Host


def open_on_hosts(domain: Domain) -> None:
    """After a domain was added or changed: let the hosts serve it as it is now."""
    for host in Host.objects.filter(kind=HostKind.SYSTEMD):
        messages.open_domain(domain, host)


def delete(domain: Domain) -> None:
    """Delete the row, and let the hosts serve the domain no more. Raises ProtectedError while instances have it."""
    spec = domain.spec()
    domain.delete()
    for host in Host.objects.filter(kind=HostKind.SYSTEMD):
        messages.close_domain(spec, host)
