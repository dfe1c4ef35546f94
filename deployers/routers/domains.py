"""Brings a domain to nginx: writes its file, lets root's program take it up, and waits until nginx serves it."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field

from deployers import interruption
from deployers.commands import run
from deployers.errors import CommandFailed, CommandMissing, CommandTimedOut, DeployError
from deployers.plan import Log
from deployers.routers.domain_file import DomainFile
from deployers.routers.domain_result import Result, read_result
from deployers.routers.nginx_files import write_public
from deployers.routers.nginx_layout import GENERATION_HOST, NginxLayout

UNIT = "openslides_domains.service"
START = ("systemctl", "--no-ask-password", "start", UNIT)
START_SECONDS = 180.0
STARTS = 5
SERVED_SECONDS = 20.0
POLL_SECONDS = 0.01
ANSWERS = 20
"""So many in a row: for 0.1 s of a reload old and new worker processes accept connections (ngx_process_cycle.c)."""


@dataclass(eq=False)
class DomainRefused(DeployError):
    """The domain is not served. ``reason`` says what to do."""

    domain: str
    reason: str

    def __str__(self) -> str:
        return f"nginx does not serve the domain {self.domain}: {self.reason.rstrip('.')}."


def write_domain(layout: NginxLayout, domain: DomainFile) -> None:
    """Say that the domain is wanted."""
    write_public(layout.domains / domain.name, domain.text)


def remove_domain(layout: NginxLayout, domain_id: int) -> None:
    """Say that it is not wanted any more. nginx serves it until :meth:`Domains.bring_up_to_date`."""
    (layout.domains / f"{domain_id}.json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Domains:
    """nginx's domains on this host. ``start``: what runs root's program and waits for its end."""

    layout: NginxLayout = field(default_factory=NginxLayout)
    start: tuple[str, ...] = START
    nginx: tuple[str, int] = ("127.0.0.1", 80)

    def is_published(self, domain: DomainFile) -> bool:
        """Whether nginx was told of exactly this: two files are read, nothing is started."""
        outcome = read_result(self.layout.domains_result).domains.get(str(domain.id))
        return outcome is not None and outcome.ok and outcome.digest == domain.digest and self._is_written(domain)

    def publish(self, domain: DomainFile, log: Log) -> None:
        """Serve the domain. On a refusal the file is as it was before, and so is nginx. Raises DomainRefused."""
        path = self.layout.domains / domain.name
        before = path.read_text(encoding="utf-8") if path.exists() else None
        write_domain(self.layout, domain)
        try:
            self._publish(domain, log)
        except DomainRefused:
            if before is None:
                path.unlink(missing_ok=True)
            elif before != domain.text:
                write_public(path, before)
            raise

    def withdraw(self, domain_id: int, name: str, log: Log) -> None:
        """Serve the domain no more. Raises DomainRefused."""
        remove_domain(self.layout, domain_id)
        for _ in range(STARTS):
            result = self._run(name, log)
            if str(domain_id) not in result.domains:
                return self._wait(name, result.loaded)
        raise DomainRefused(name, f"{UNIT} keeps it. `journalctl -u {UNIT}` says why")

    def _publish(self, domain: DomainFile, log: Log) -> None:
        for _ in range(STARTS):
            result = self._run(domain.domain, log)
            outcome = result.domains.get(str(domain.id))
            # A run that another operation had started before this domain's file was there does not know it.
            if outcome is not None and (outcome.digest == domain.digest or not outcome.digest):
                if not outcome.ok:
                    raise DomainRefused(domain.domain, outcome.reason)
                return self._wait(domain.domain, result.loaded)
        raise DomainRefused(domain.domain, f"{UNIT} does not take it up. `journalctl -u {UNIT}` says why")

    def _run(self, name: str, log: Log) -> Result:
        try:
            run(self.start, log=log, timeout=START_SECONDS)
        except (CommandFailed, CommandMissing, CommandTimedOut) as error:
            reason = f"{UNIT} could not be run. `journalctl -u {UNIT}` says why.\n{error}"
            raise DomainRefused(name, reason) from None
        result = read_result(self.layout.domains_result)
        if result.problem:
            raise DomainRefused(name, result.problem)
        return result

    def _is_written(self, domain: DomainFile) -> bool:
        try:
            return (self.layout.domains / domain.name).read_text(encoding="utf-8") == domain.text
        except (OSError, ValueError):
            return False

    def _wait(self, name: str, generation: str) -> None:
        if not wait_until_served(self.nginx, generation):
            host, port = self.nginx
            raise DomainRefused(
                name,
                f"after {SERVED_SECONDS:.0f} s it still serves what it did before the reload, or does not answer "
                f"at {host}:{port}. `systemctl status nginx` says more; then try again",
            )


def wait_until_served(nginx: tuple[str, int], generation: str) -> bool:
    """A reload returns before the new configuration is in use: ask nginx until it answers with its hash, and only so.

    ``nginx``: where it listens. False after SERVED_SECONDS.
    """
    deadline = time.monotonic() + SERVED_SECONDS
    answers = 0
    while time.monotonic() < deadline:
        answers = answers + 1 if _served(nginx) == generation else 0
        if answers == ANSWERS:
            return True
        interruption.sleep(POLL_SECONDS)
    return False


def _served(nginx: tuple[str, int]) -> str:
    """The hash of the configuration that nginx serves; '' if it does not say."""
    connection = http.client.HTTPConnection(*nginx, timeout=5)
    try:
        connection.request("GET", "/generation", headers={"Host": GENERATION_HOST})
        answer = connection.getresponse()
        return answer.read().decode("ascii", "replace") if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
