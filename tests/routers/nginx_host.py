"""An nginx of its own on loopback ports, in a temporary tree that looks like a production host's."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from deployers.routers.domain_blocks import Places, Program
from deployers.routers.domain_file import DomainFile
from deployers.routers.domain_result import Result
from deployers.routers.domains import wait_until_served, write_domain
from deployers.routers.nginx import NginxRouter
from deployers.routers.nginx_layout import NginxLayout
from deployers.spec import Account, Event, InstanceSpec, VersionSpec
from tests.observing import free_port, listens, wait_for
from tests.routers.backend import Backend, serving
from tests.tools import require

DOMAIN = "assembly.example.org"
_numbers = count(1)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


HASHED = "main-es2015.e8681f0f9c9a05a25134.js"


def spec(**changed: object) -> InstanceSpec:
    number = next(_numbers)
    made = InstanceSpec(
        id=f"{number:032x}",
        slug=f"event-{number}",
        domain=DOMAIN,
        mode="subdomain_nossl",
        db="sqlite",
        version=VersionSpec("3.3", "localhost/openslides:3.3", "podman"),
        event=Event("Annual assembly"),
        admin=Account("Ada", "Lovelace", "ada", "password"),
        superadmin_password="password",
        secret_key="key",
        domain_id=1,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Tree:
    """The temporary tree. ``http`` and ``https``: nginx's ports, if it runs."""

    root: Path
    http: int
    https: int

    @property
    def layout(self) -> NginxLayout:
        return NginxLayout(self.root / "srv", self.root / "run")

    @property
    def router(self) -> NginxRouter:
        return NginxRouter(self.layout)

    @property
    def main_conf(self) -> Path:
        return self.root / "nginx.conf"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @cached_property
    def nginx(self) -> tuple[str, ...]:
        log = str(self.root / "log" / "error.log")
        return (require("nginx", "nginx-light"), "-q", "-e", log, "-c", str(self.main_conf))

    @cached_property
    def places(self) -> Places:
        return Places(
            layout=self.layout,
            configuration=self.root / "etc",
            host_facts=self.root / "host.json",
            acme=self.root / "acme",
            access_log=self.root / "log" / "access.log",
            listen_http=(f"127.0.0.1:{self.http}",),
            listen_https=(f"127.0.0.1:{self.https}",),
            nginx_test=(*self.nginx, "-t"),
            nginx_reload=(*self.nginx, "-s", "reload"),
            nginx_runs=("true",),
        )

    def bring_up_to_date(self, **places: Any) -> Result:
        """What root's program does, and with a running nginx until that serves it."""
        result = Program(replace(self.places, **places), lambda text: None).bring_up_to_date()
        if listens(self.http) and not result.problem:
            assert wait_until_served(("127.0.0.1", self.http), result.loaded)
        return result

    def certificate(self, name: str) -> tuple[str, str]:
        """A new certificate and its key, by their paths."""
        certificate, key = self.certificates / f"{name}.pem", self.certificates / f"{name}.key"
        openssl = require("openssl", "openssl")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subprocess.run(
            [openssl, "req", "-x509", *kind, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        return str(certificate), str(key)

    def static(self, name: str, **files: str) -> Path:
        """The static files of a version, by their paths, with ``__`` for a slash and ``_`` for a dot."""
        directory = self.root / "srv" / "versions" / name / "static"
        for path, content in files.items():
            file = directory / path.replace("__", "/").replace("_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return directory

    def make(self, wanted: InstanceSpec, static: Path, major: int) -> None:
        """An instance as nginx sees it, without a process."""
        (self.layout.public(wanted.id).directory.parent / "data" / "media").mkdir(parents=True)
        (self.layout.public(wanted.id).directory.parent).chmod(0o711)
        self.router.publish(wanted, static, major)

    @contextmanager
    def running(self, wanted: InstanceSpec, static: Path, major: int) -> Iterator[Backend]:
        """An instance that answers."""
        self.make(wanted, static, major)
        with serving(self.router.front(wanted).path) as backend:
            yield backend

    def get(
        self,
        wanted: InstanceSpec | str,
        path: str = "/",
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        tls: bool = False,
    ) -> Answer:
        """What nginx answers for an instance, or for a host name."""
        host = wanted if isinstance(wanted, str) else f"{wanted.slug}.{wanted.domain}"
        connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=120)
        if tls:
            connection.sock = self.tls(host)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host, **(headers or {})}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        try:
            answer = connection.getresponse()
            return Answer(answer.status, answer.msg, answer.read())
        finally:
            connection.close()

    def tls(self, host: str, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(protocols))
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 120), server_hostname=host)


@contextmanager
def tree() -> Iterator[Tree]:
    """A host's tree without a domain. As root, nginx's workers are www-data's, as on a real host."""
    root = Path(tempfile.mkdtemp(prefix="mi-ngx-"))  # short: unix sockets lie in it
    made = Tree(root, free_port(), free_port())
    try:
        root.chmod(0o755)
        for name in ("log", "acme", "certificates", "srv/domains", "srv/by-name", "srv/instances", "run/sockets"):
            (root / name).mkdir(parents=True)
        certificate, key = made.certificate("host")
        facts = {
            "certificate": certificate,
            "certificate_key": key,
            "certificate_directories": [str(made.certificates)],
        }
        made.places.host_facts.write_text(json.dumps(facts))
        made.main_conf.write_text(_main_conf(root))
        yield made
    finally:
        shutil.rmtree(root)


def _main_conf(root: Path) -> str:
    user = "user www-data;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"    {name}_temp_path {root}/tmp-{name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    return f"""
{user}
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/log/error.log;
events {{ worker_connections 128; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
{temporary}
    include {root}/etc/*.conf;
}}
"""


@contextmanager
def nginx(made: Tree) -> Iterator[None]:
    """The process, with whatever configuration the tree has."""
    process = subprocess.Popen(made.nginx, stdin=subprocess.DEVNULL)
    try:
        wait_for("nginx listens", lambda: process.poll() is not None or listens(made.http), 60, 0.02)
        assert process.poll() is None, (made.root / "log" / "error.log").read_text()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.wait()


@contextmanager
def open_host() -> Iterator[Tree]:
    """A running nginx with one domain."""
    with tree() as made:
        write_domain(made.layout, DomainFile(1, DOMAIN))
        # nginx must run before it can be reloaded.
        made.places.configuration.mkdir()
        (made.places.configuration / "begin.conf").write_text(f"server {{ listen 127.0.0.1:{made.http}; }}\n")
        with nginx(made):
            result = made.bring_up_to_date()
            assert result.domains["1"].ok, result
            yield made


class Instance:
    """An instance that answers, and what nginx sees of it."""

    def __init__(self, host: Tree, wanted: InstanceSpec, backend: Backend) -> None:
        self.host, self.spec, self.backend = host, wanted, backend
        self.public = host.layout.public(wanted.id)

    def get(self, path: str = "/", **how: Any) -> Answer:
        return self.host.get(self.spec, path, **how)
