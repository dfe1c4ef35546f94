"""Run by root (openslides_domains.service): makes nginx's server blocks of the domains that the control plane wants.

The control plane's user may start it and writes what it reads; nothing else comes from there. The steps:

1. read and check each domain's file (domain_file.py says how); a bad one is reported and keeps the block that it had;
2. render all blocks, and stop here if nginx has all of them;
3. put them in place and run ``nginx -t``. If nginx refuses: the old ones back, and then one change after the other,
   so that one bad domain does not stop the others;
4. reload nginx, and write the result for the control plane: what each domain became, and which configuration
   (``loaded``, a hash) nginx was told to load. deployers/routers/domains.py asks nginx until it serves that one.

It also comes before each start of nginx (nginx.service.d/openslides.conf): a domain whose certificate is gone, which an
nginx that runs still has in its memory, must not keep one that starts from serving all others.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    # python -I trusts no path but its own installation's; this program's package lies three directories up.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deployers.commands import run
from deployers.errors import CommandFailed, CommandMissing, DeployError
from deployers.plan import Log
from deployers.rendering import render
from deployers.routers.domain_certificates import (
    HostFacts,
    HostUnusable,
    certificate_problem,
    check_certificate,
    read_facts,
)
from deployers.routers.domain_file import (
    FILE_NAME,
    DomainFile,
    DomainUnusable,
    digest_of,
    parse,
    read_untrusted,
)
from deployers.routers.domain_result import Outcome, Result, read_result
from deployers.routers.nginx_files import make_directory, write_public
from deployers.routers.nginx_layout import GENERATION_HOST, NginxLayout
from deployers.routers.nginx_pages import UNKNOWN, pages

SHARED = "00-shared.conf"
"""Before the blocks in nginx's order, which is that of the names: a log format is known from its line on."""
_OURS = re.compile(rf"[1-9][0-9]{{0,9}}\.conf|{re.escape(SHARED)}")
TEST_SECONDS = 60.0
RELOAD_SECONDS = 60.0
WAKE_SECONDS = 10

Files = dict[str, str]
"""nginx configuration by file name."""


def _listen(port: int) -> tuple[str, ...]:
    ipv6 = Path("/proc/net/if_inet6").exists()
    return (str(port), f"[::]:{port}") if ipv6 else (str(port),)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the program reads and writes, and how it speaks to nginx. The defaults are a production host's."""

    layout: NginxLayout = field(default_factory=NginxLayout)
    configuration: Path = Path("/etc/nginx/openslides")
    host_facts: Path = Path("/etc/openslides-multiinstance/host.json")
    acme: Path = Path("/var/lib/letsencrypt")
    access_log: Path = Path("/var/log/nginx/openslides.log")
    listen_http: tuple[str, ...] = _listen(80)
    listen_https: tuple[str, ...] = _listen(443)
    nginx_test: tuple[str, ...] = ("/usr/sbin/nginx", "-t", "-q")
    # systemctl(1): nginx comes after this program where both are started, and a job of it would wait for its end.
    nginx_reload: tuple[str, ...] = ("/usr/bin/systemctl", "--job-mode=ignore-dependencies", "reload", "nginx.service")
    nginx_runs: tuple[str, ...] = ("/usr/bin/systemctl", "is-active", "nginx.service")
    wake_seconds: int = WAKE_SECONDS


class Refused(Exception):
    """nginx -t refused; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Program:
    """One run. ``log`` takes what an operator may want to read in the journal."""

    places: Places
    log: Log

    def bring_up_to_date(self) -> Result:
        """Never raises for what a domain's file holds. Raises OSError where root's own directories cannot be used."""
        make_directory(self.places.configuration)
        with _locked(self.places.configuration):
            result = self._bring_up_to_date()
            write_public(self.places.layout.domains_result, result.text)
        return result

    def _bring_up_to_date(self) -> Result:
        loaded = read_result(self.places.layout.domains_result).loaded
        try:
            facts = read_facts(self.places.host_facts)
        except HostUnusable as error:
            self.log(str(error))
            return Result(loaded, str(error), {})
        wanted, outcomes = self._read_domains(facts)
        make_directory(self.places.configuration / "pages")
        for name, text in pages((UNKNOWN,)).items():
            write_public(self.places.configuration / "pages" / name, text)
        current, runs = self._current(), self._nginx_runs()
        bad = {block_name(domain_id) for domain_id, outcome in outcomes.items() if not outcome.ok}
        final, refused = self._settle(current, wanted, bad, runs)
        for domain_id, outcome in outcomes.items():
            if outcome.ok and block_name(domain_id) in refused:
                outcomes[domain_id] = Outcome(outcome.digest, False, refused[block_name(domain_id)])
        for domain_id, outcome in outcomes.items():
            if not outcome.ok:
                self.log(f"domain {domain_id}: {outcome.reason}")
        problem = refused.get(SHARED, "")
        if not problem and final.generation != loaded and runs:
            problem = self._reload()
        return Result(loaded if problem else final.generation, problem, outcomes)

    def _read_domains(self, facts: HostFacts) -> tuple[Files, dict[str, Outcome]]:
        """The blocks of good domains, and what is known of each domain before nginx was asked."""
        wanted: Files = {}
        outcomes: dict[str, Outcome] = {}
        taken: dict[str, int] = {}
        directory = os.open(self.places.layout.domains, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owners = frozenset({0, os.fstat(directory).st_uid})
            ids = sorted(int(match[1]) for match in map(FILE_NAME.fullmatch, os.listdir(directory)) if match)
            for domain_id in ids:
                digest = ""
                try:
                    content = read_untrusted(directory, f"{domain_id}.json", owners)
                    digest = digest_of(content)
                    domain = parse(content, domain_id)
                    if domain.domain in taken:
                        raise DomainUnusable(f"domain {taken[domain.domain]} has the same name")
                    wanted[block_name(str(domain_id))] = self._block(domain, facts)
                    taken[domain.domain] = domain_id
                    outcomes[str(domain_id)] = Outcome(digest, True, "")
                except DomainUnusable as error:
                    outcomes[str(domain_id)] = Outcome(digest, False, str(error))
        finally:
            os.close(directory)
        return wanted, outcomes

    def _block(self, domain: DomainFile, facts: HostFacts) -> str:
        """Raises DomainUnusable."""
        certificate, key = facts.certificate, facts.certificate_key
        if domain.certificate is not None and domain.certificate_key is not None:
            certificate, key = domain.certificate, domain.certificate_key
            for path in (certificate, key):
                if problem := certificate_problem(path, facts.certificate_directories):
                    raise DomainUnusable(problem)
        check_certificate(certificate, key)
        places = self.places
        return render(
            "nginx/domain.conf.j2",
            id=domain.id,
            domain=domain.domain,
            certificate=certificate,
            certificate_key=key,
            listen_http=places.listen_http,
            listen_https=places.listen_https,
            by_name=places.layout.by_name,
            socket=places.layout.socket_name,
            pages=places.configuration / "pages",
            acme=places.acme,
            access_log=places.access_log,
            wake_seconds=places.wake_seconds,
        )

    def _current(self) -> Files:
        """This program's files. A file that somebody else has put there is none of them."""
        found = self.places.configuration.iterdir()
        return {path.name: path.read_text(encoding="utf-8") for path in found if _OURS.fullmatch(path.name)}

    def _nginx_runs(self) -> bool:
        """One that does not, reads what is there when it starts: it need not be told, and cannot be."""
        try:
            run(self.places.nginx_runs, log=lambda text: None, timeout=TEST_SECONDS)
        except (CommandFailed, CommandMissing):
            return False
        return True

    def _settle(self, current: Files, wanted: Files, bad: set[str], runs: bool) -> tuple[Configuration, dict[str, str]]:
        """Put the blocks in place. Returns what is there in the end, and why nginx refused what is not.

        A refusal of SHARED means: nginx refuses its configuration with and without these blocks.
        """
        kept = {name: text for name, text in current.items() if name in bad}
        target = self._complete({**kept, **wanted})
        if target.files == current and (runs or not kept):
            return target, {}
        # Without the kept ones: a block whose certificate is gone makes nginx refuse everything, also at the next boot.
        for attempt in (target, self._complete(wanted)) if kept else (target,):
            with contextlib.suppress(Refused):
                self._put(current, attempt.files)
                return attempt, {}
        return self._one_by_one(current, {**kept, **wanted})

    def _one_by_one(self, current: Files, wanted: Files) -> tuple[Configuration, dict[str, str]]:
        """As many of the changes as nginx agrees to."""
        settled = self._complete({name: text for name, text in current.items() if name != SHARED})
        if settled.files != current:
            try:
                self._put(current, settled.files)
            except Refused as error:
                return Configuration(current, ""), {SHARED: str(error)}
        refused: dict[str, str] = {}
        changed = [name for name in {**current, **wanted} if name != SHARED and current.get(name) != wanted.get(name)]
        for name in changed:
            blocks = {other: text for other, text in settled.files.items() if other not in (name, SHARED)}
            if name in wanted:
                blocks[name] = wanted[name]
            attempt = self._complete(blocks)
            try:
                self._put(settled.files, attempt.files)
            except Refused as error:
                refused[name] = str(error)
            else:
                settled = attempt
        return settled, refused

    def _complete(self, blocks: Files) -> Configuration:
        """``blocks`` with the shared file, which says what the hash of all of it is."""

        def shared(generation: str) -> str:
            return render(
                "nginx/shared.conf.j2",
                listen_http=self.places.listen_http,
                generation_host=GENERATION_HOST,
                generation=generation,
            )

        content = json.dumps({**blocks, SHARED: shared("")}, sort_keys=True)
        generation = hashlib.sha256(content.encode()).hexdigest()
        return Configuration({**blocks, SHARED: shared(generation)}, generation)

    def _put(self, before: Files, after: Files) -> None:
        """Replace ``before`` by ``after`` and ask nginx. Raises Refused, with ``before`` in place again."""
        try:
            self._write(before, after)
            run(self.places.nginx_test, log=self.log, timeout=TEST_SECONDS)
        except BaseException as error:
            self._write(after, before)
            if isinstance(error, DeployError):
                raise Refused(self._said(error)) from None
            raise

    def _write(self, before: Files, after: Files) -> None:
        for name, text in after.items():
            write_public(self.places.configuration / name, text)
        for name in set(before) - set(after):
            (self.places.configuration / name).unlink(missing_ok=True)

    def _said(self, error: DeployError) -> str:
        """nginx's own words where they are about a file of this program: elsewhere they may quote what is secret."""
        lines = [line for line in str(error).splitlines() if str(self.places.configuration) in line]
        if lines:
            return f"nginx refuses it: {' '.join(lines)}"
        return (
            "nginx refuses its configuration, for a reason outside of the domains. "
            "`nginx -t` says which, and so does `journalctl -u openslides_domains.service`. Repair that, then try again"
        )

    def _reload(self) -> str:
        """The problem, '' if there is none."""
        try:
            run(self.places.nginx_reload, log=self.log, timeout=RELOAD_SECONDS)
        except DeployError:
            return "nginx could not be reloaded. `systemctl status nginx` says why. Repair that, then try again"
        return ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All files, and the hash by which a served configuration is known."""

    files: Files
    generation: str


def block_name(domain_id: str) -> str:
    return f"{domain_id}.conf"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keeps a second run, started by hand, out of ``directory`` (flock(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _log(text: str) -> None:
    """Into the journal (systemd.exec(5), StandardError=)."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def main(places: Places) -> None:
    # An end by systemd's time-out must put the old files back too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended by SIGTERM."))
    os.umask(0o022)
    Program(places, _log).bring_up_to_date()


if __name__ == "__main__":
    main(Places())
