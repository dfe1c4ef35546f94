"""supervisord's configuration files. Source: supervisord.org/configuration.html and supervisor/options.py 4.3."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployers.commands import dying_with_parent
from deployers.errors import DeployError
from deployers.files import make_private_directory, write_private
from deployers.layout import EmbeddedLayout
from deployers.rendering import render
from deployers.services.service import Service

PREFIX = "instance_"
STOP_SECONDS = 10
"""From SIGTERM to SIGKILL: OpenSlides needs up to 1.8 s."""


@dataclass(eq=False)
class Unquotable(DeployError):
    """A value that supervisord's configuration file has no way to write."""

    value: str

    def __str__(self) -> str:
        return (
            f"{self.value!r} cannot be written to supervisord's configuration: it has a control character, or both "
            "kinds of quotes. Choose another value."
        )


@dataclass(frozen=True)
class Program:
    """A program of the control plane itself (web, worker, beat), which supervisord starts at once.

    ``env`` is added to supervisord's own environment. ``stopwaitsecs``: from SIGTERM to SIGKILL. Lower
    ``priority`` starts earlier and stops later.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    stopwaitsecs: int = 10
    priority: int = 999


def plain(value: str) -> str:
    """A value that is taken as it is, but for supervisord's %-expansion."""
    if re.search(r"[\x00-\x1f\x7f]", value) or re.search(r"\s[;#]", value) or value != value.strip():
        raise Unquotable(value)
    return value.replace("%", "%%")


def program_log(path: Path) -> str:
    """A value of ``stdout_logfile``, which options.py expands twice, unlike any other."""
    return plain(str(path)).replace("%", "%%")


def command(argv: Sequence[str]) -> str:
    """``argv`` for ``command=``, which is split like a shell would (shlex), after the %-expansion.

    A ``;`` or ``#`` after white space begins a comment in the file, quoted or not; so it gets quotes of its own.
    """
    words = " ".join(shlex.quote(word) for word in argv)
    if re.search(r"[\x00-\x1f\x7f]", words):
        raise Unquotable(words)
    return re.sub(r"(?<=\s)([;#])", r"""'"\1"'""", words).replace("%", "%%")


def environment(env: Mapping[str, str]) -> str:
    """``env`` for ``environment=``: KEY="value", with the quotes that the value does not have."""
    return ",".join(f"{name}={_quoted(value)}" for name, value in env.items())


def _quoted(value: str) -> str:
    quote = "'" if '"' in value else '"'
    # datatypes.dict_of_key_value_pairs() strips both kinds of quotes from both ends.
    if quote in value or value.strip("'\"") != value or re.search(r"[\x00-\x1f\x7f]|\s[;#]", value):
        raise Unquotable(value)
    return quote + value.replace("%", "%%") + quote


def render_service(service: Service) -> str:
    """The configuration of one instance's process.

    ``env -i`` gives it the environment that is written here and nothing of supervisord's own, which may hold the
    control plane's secrets. supervisord's child dies with it, also by kill -9.
    """
    variables = [f"{name}={value}" for name, value in service.env.items()]
    argv = [shutil.which("env") or "/usr/bin/env", "-i", *variables, *dying_with_parent(list(service.argv))]
    return render(
        "supervisor_instance.conf.j2",
        name=PREFIX + service.instance_id,
        command=command(argv),
        log=program_log(service.log),
        stop_seconds=STOP_SECONDS,
    )


def render_supervisord_conf(data_dir: Path, programs: Sequence[Program]) -> str:
    """The text of supervisord.conf, which must lie at ``EmbeddedLayout(data_dir).supervisor_conf``.

    Raises UnusablePath, Unquotable.
    """
    layout = EmbeddedLayout(data_dir)
    return render(
        "supervisord.conf.j2",
        log=plain(str(layout.log)),
        pidfile=plain(str(layout.supervisor_pid)),
        socket=plain(str(layout.supervisor_socket)),
        programs=[
            {
                "name": program.name,
                "command": command(dying_with_parent(list(program.argv))),
                "environment": environment(program.env),
                "log": program_log(layout.log / f"{program.name}.log"),
                "stopwaitsecs": program.stopwaitsecs,
                "priority": program.priority,
            }
            for program in programs
        ],
    )


def write_supervisord_conf(data_dir: Path, programs: Sequence[Program]) -> Path:
    """Make supervisord's directories and its configuration file; gives the path for ``supervisord -c``.

    Services of instances whose directory was taken away by hand are forgotten: supervisord does not start at all
    while the directory of one program's log is missing.

    Start supervisord itself with umask 077: its own setting counts only when it goes to the background.
    """
    layout = EmbeddedLayout(data_dir)
    text = render_supervisord_conf(data_dir, programs)
    for directory in (layout.data_dir, layout.log, layout.supervisor, layout.supervisor_instances):
        make_private_directory(directory)
    forget_lost_services(layout)
    write_private(layout.supervisor_conf, text)
    return layout.supervisor_conf


def forget_lost_services(layout: EmbeddedLayout) -> None:
    """Remove the configuration of every instance whose log cannot be written, because its directory is gone."""
    for conf in layout.supervisor_instances.glob("*.conf"):
        if not re.fullmatch(r"[0-9a-f]{32}", conf.stem) or not layout.instance(conf.stem).log.parent.is_dir():
            conf.unlink(missing_ok=True)
