"""What is written to supervisord's configuration arrives as it was meant: read back by supervisord's own parser."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from deployers.embedded import EmbeddedSettings, embedded_deployer
from deployers.errors import UnusablePath
from deployers.layout import SOCKET_PATH_BYTES, EmbeddedLayout
from deployers.services.service import Service
from deployers.services.supervisor_conf import (
    Program,
    Unquotable,
    command,
    environment,
    plain,
    render_service,
    render_supervisord_conf,
    write_supervisord_conf,
)

AWKWARD = [
    "plain",
    "two words",
    "100%",
    "%(here)s %(ENV_PATH)s",
    "it's",
    'a "b" c',
    "a;b ;c",
    "a #b",
    "a\\b",
    "ü 🎉",
    "=,",
    "",
]


def parsed(text: str, directory: Path) -> dict[str, object]:
    """supervisord's own idea of the programs in a configuration, by name."""
    conf = directory / "supervisord.conf"
    conf.write_text(text, encoding="utf-8")
    options = ServerOptions()
    options.realize(["-c", str(conf)])
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


@pytest.mark.parametrize("value", AWKWARD)
def test_every_argument_arrives_as_it_is(value: str, tmp_path: Path) -> None:
    argv = ["/bin/echo", value, "-x"]
    text = f"[supervisord]\n[program:x]\ncommand={command(argv)}\n"
    assert shlex.split(parsed(text, tmp_path)["x"].command) == argv  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [value for value in AWKWARD if value not in ("a;b ;c", "a #b")])
def test_every_environment_value_arrives_as_it_is(value: str, tmp_path: Path) -> None:
    text = f"[supervisord]\n[program:x]\ncommand=/bin/true\nenvironment={environment({'A': value, 'B': 'b'})}\n"
    assert parsed(text, tmp_path)["x"].environment == {"A": value, "B": "b"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["two\nlines", "nul\0", "both ' and \"", "'quoted'", "comment ;here", " #"])
def test_what_has_no_way_to_be_written_is_refused(value: str) -> None:
    with pytest.raises(Unquotable):
        environment({"A": value})


def test_a_newline_cannot_begin_another_setting() -> None:
    with pytest.raises(Unquotable):
        command(["/bin/echo", "a\n[program:evil]\ncommand=/bin/sh"])
    with pytest.raises(Unquotable):
        plain("a\nb")


def test_a_service_gets_its_own_environment_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "100% of 'it'.log"
    service = Service("a" * 32, ("/bin/sh", "-c", "env"), {"A": "50% 'of' \"it\"", "B": ""}, log)
    program = parsed("[supervisord]\n" + render_service(service), tmp_path)["instance_" + "a" * 32]
    assert program.stdout_logfile == str(log)  # type: ignore[attr-defined]
    printed = subprocess.run(
        shlex.split(program.command),  # type: ignore[attr-defined]
        env={"DJANGO_SECRET_KEY": "secret"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line for line in printed.splitlines() if not line.startswith(("PWD=", "_=", "SHLVL="))] == [
        "A=50% 'of' \"it\"",
        "B=",
    ]


def test_programs_of_the_control_plane_are_all_there(tmp_path: Path) -> None:
    program = Program("web", ["/bin/echo", "100%"], {"PORT": "5000", "X": "a%b"}, stopwaitsecs=7, priority=3)
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "log").mkdir()
    web = parsed(render_supervisord_conf(tmp_path, [program]).replace(f"{tmp_path}/log", str(tmp_path)), tmp_path)[
        "web"
    ]
    assert shlex.split(web.command)[-2:] == ["/bin/echo", "100%"]  # type: ignore[attr-defined]
    assert web.environment == {"PORT": "5000", "X": "a%b"}  # type: ignore[attr-defined]
    assert (web.stopwaitsecs, web.priority, web.autostart) == (7, 3, True)  # type: ignore[attr-defined]


def test_supervisord_runs_in_a_directory_with_an_awkward_name() -> None:
    with tempfile.TemporaryDirectory(prefix="mi-") as place:
        data_dir = Path(place) / "a 100% 'ü' dir"
        conf = write_supervisord_conf(data_dir, [Program("web", ["/bin/sleep", "60"])])
        process = subprocess.Popen([sys.executable, "-m", "supervisor.supervisord", "-c", conf])
        try:
            deployer = embedded_deployer(EmbeddedSettings(data_dir))
            deployer.parts.services.wait_until_answering(90)  # type: ignore[attr-defined]
            assert deployer.states() == {}
        finally:
            process.terminate()
            process.wait(90)


def test_a_socket_with_too_long_a_path_is_refused_with_what_to_do() -> None:
    fits = Path("/" + "d" * (SOCKET_PATH_BYTES - len("//supervisor/supervisor.sock")))
    assert EmbeddedLayout(fits).supervisor_socket
    with pytest.raises(UnusablePath, match="Choose another DATA_DIR"):
        EmbeddedLayout(Path(f"{fits}d"))


@pytest.mark.parametrize("name", ["a[b]", "a*", "what?", "a ;b", "a #b", "two\nlines", "a:b"])
def test_a_data_directory_that_cannot_be_written_down_is_refused(name: str) -> None:
    with pytest.raises(UnusablePath):
        EmbeddedLayout(Path("/srv") / name)
