"""What the units of the engine rkt run: ``python3 -IS rkt_unit.py place|run|task ID``.

``rkt run`` is root's, and what shall be run is said by the service user, who must not become root by it. So this
program, which root runs, takes from the service user's files what it can check, and decides all else itself:

    taken     the image's hash, which must be in rkt's store; the arguments of its python3; OpenSlides' environment; the
              name of a version's directory; what is fetched
    decided   every option of rkt; user and group; no network; which directories are seen, and at which path

The files are read with the service user's own rights, and never through a link. Nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE_USER = "openslides"
HOST_FILE = Path("/etc/openslides-multiinstance/host.json")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILE_BYTES = 256 * 1024
POLL_SECONDS = 0.25

ID = re.compile(r"[0-9a-f]{32}")
IMAGE_HASH = re.compile(r"sha512-[0-9a-f]{64}")
"""How ``rkt fetch --full`` and rkt's JSON write it: half of the SHA-512 of the image."""
ACI_FILE = re.compile(r"/[A-Za-z0-9._/-]+\.aci")
REFERENCE = re.compile(
    r"docker://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+"
    r"(?::[A-Za-z0-9][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
    r"|https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9._-]+)*/[A-Za-z0-9._-]+\.aci"
    r"|/(?:[A-Za-z0-9._-]+/)*[A-Za-z0-9._-]+\.aci"
    r"|[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9._-]*)+(?::[A-Za-z0-9][A-Za-z0-9._-]*)?"
)
"""What ``rkt fetch`` is given: a registry's image, an ACI by its URL, its path, or its name."""
LOOPBACK = re.compile(r"docker://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?/")
STAGE1 = "coreos.com/rkt/stage1"
"""How the images are named that rkt itself runs as root; no version may bring one."""
DIRECTORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,200}")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""rkt writes arguments and values into unit files of the pod's systemd, where a line more would be an option more."""
AC_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
WORKING_DIRECTORY = re.compile(r"(?:/[A-Za-z0-9._/-]*)?")
LINE_OF_APP = re.compile(rb"^\[ *[0-9.]+\] [a-z0-9-]+\[[0-9]+\]: ")
"""What stage1 "host" writes before each line of the app, on rkt's own output."""
WITH_UMASK = "import os, sys; os.umask(7); os.execvp(sys.argv[1], sys.argv[1:])"
"""The control plane must be able to remove what OpenSlides makes: the mask of acl(5) comes from this."""


class Refused(Exception):
    """What the service user asks for is not done; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Host:
    """Numbers of the users, and the places that pods may see."""

    service_uid: int
    service_gid: int
    instance_uid: int
    stage1: str | None = None
    data: Path = Path("/srv/openslides")
    web: Path = Path("/run/openslides/web")
    runtime: Path = Path("/run/openslides/rkt")
    inside: Path = Path(__file__).resolve().parent.parent / "openslides" / "inside"
    sockets: tuple[Path, ...] = (
        Path("/run/postgresql"),
        Path("/run/redis-openslides"),
        Path("/run/openslides/mail.sock"),
    )

    @classmethod
    def read(cls) -> Host:
        user = pwd.getpwnam(SERVICE_USER)
        facts = json.loads(HOST_FILE.read_text(encoding="utf-8"))
        stage1 = facts.get("rkt_stage1")
        if stage1 is not None and not IMAGE_HASH.fullmatch(stage1):
            raise Refused(f"{HOST_FILE}: rkt_stage1 is not a hash as `rkt image list --format=json` shows it")
        return cls(user.pw_uid, user.pw_gid, int(facts["instance_uid"]), stage1)

    def uuid_file(self, name: str) -> Path:
        return self.runtime / f"{name}.uuid"


@dataclass(frozen=True, slots=True)
class Pod:
    """What is run. ``image``: its hash; ``arguments``: of its python3; ``reads``, ``writes``: the same path inside."""

    name: str
    image: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


def main(action: str, name: str) -> int:
    try:
        if not ID.fullmatch(name):
            raise Refused(f"{name!r} is not the id of an instance or a task (32 hexadecimal digits)")
        host = Host.read()
        if action == "place":
            place(host, name)
            return 0
        if action == "task":
            return task(host, name)
        run(host, name)
    except (Refused, OSError, ValueError, KeyError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def place(host: Host, instance_id: str) -> None:
    """As the service user: the directory of OpenSlides' socket is there (after a reboot it is not), and empty.

    daphne does not listen where an earlier one, which was killed, left its socket.
    """
    directory = host.web / instance_id
    directory.mkdir(mode=0o711, exist_ok=True)
    for left in directory.iterdir():
        left.unlink()
    subprocess.run(["/usr/bin/setfacl", "-m", f"u:{host.instance_uid}:rwx", "--", str(directory)], check=True)


def run(host: Host, instance_id: str) -> None:
    """Become rkt."""
    pod = instance_pod(host, instance_id, read_json(host, host.data / "instances" / instance_id / "service.json"))
    argv = rkt_run(host, pod, host.uuid_file(instance_id), mount_points(cat_manifest(pod.image)))
    os.execvpe(argv[0], argv, _environment("NOTIFY_SOCKET"))


def instance_pod(host: Host, instance_id: str, service: Mapping[str, Any]) -> Pod:
    """What service.json asks for; its "argv" is ["rkt", HASH, VERSION'S DIRECTORY, "python3", ARGUMENT, …]."""
    argv = _texts(service.get("argv"), "argv")
    if len(argv) < 4 or argv[0] != "rkt" or argv[3] != "python3":
        raise Refused('argv is not ["rkt", HASH, VERSION, "python3", …]: start the instance in the admin')
    directory = host.data / "instances" / instance_id
    return Pod(
        f"openslides-{instance_id}",
        image_hash(argv[1]),
        argv[4:],
        _variables(service.get("environment")),
        reads=(
            directory / "settings.py",
            directory / "public" / "static",
            host.data / "versions" / _directory(argv[2]) / "static",
        ),
        writes=(directory / "data", host.web / instance_id),
    )


def task_pod(host: Host, task_id: str, wanted: Mapping[str, Any]) -> Pod:
    """What a management command of OpenSlides asks for."""
    return Pod(
        f"openslides-task-{task_id}",
        image_hash(wanted.get("image")),
        _texts(wanted.get("arguments"), "arguments"),
        _variables(wanted.get("environment")),
        tuple(task_place(host, path) for path in _texts(wanted.get("reads"), "reads")),
        tuple(task_place(host, path) for path in _texts(wanted.get("writes"), "writes")),
    )


def task_place(host: Host, path: str) -> Path:
    """A directory that management commands may be given: of a version, or of the update of an instance."""
    data = re.escape(str(host.data))
    instance = rf"{data}/instances/{ID.pattern}"
    version = rf"{data}/versions/(?:{DIRECTORY.pattern})"
    if not re.fullmatch(
        rf"{version}(?:/build)?|{instance}/data|{instance}/previous/[0-9A-Za-z_-]{{1,64}}/migrate", path
    ):
        raise Refused(f"{path!r} is no place that a management command is given")
    if ".." in path:
        raise Refused(f"{path!r} leads upwards")
    return Path(path)


def image_hash(value: object) -> str:
    if not isinstance(value, str) or not IMAGE_HASH.fullmatch(value):
        raise Refused(f"{value!r} is not the hash of an image (sha512- and 64 hexadecimal digits): prepare the version")
    return value


def rkt_run(host: Host, pod: Pod, uuid_file: Path, volumes: Sequence[str] = ()) -> list[str]:
    """The command. ``volumes``: mount points of the image, which get an empty directory each.

    Options of the pod come first, then the image, then those of its app (rkt would take them in no other order).
    """
    before: list[str] = []
    after: list[str] = []
    paths = sorted([(path, False) for path in seen(host, pod)] + [(path, True) for path in pod.writes])
    for number, (path, writable) in enumerate(paths):
        check_text(str(path), plain=True)
        read_only = "" if writable else ",readOnly=true"
        before += ["--volume", f"openslides{number},kind=host,source={path}{read_only}"]
        after += ["--mount", f"volume=openslides{number},target={path}"]
    for name in volumes:
        owner = f"uid={host.instance_uid},gid={host.instance_uid}"
        before += ["--volume", f"{name},kind=empty,mode=0700,{owner}"]
    before += [f"--set-env={name}={value}" for name, value in pod.environment.items() if name != "PATH"]
    return [
        "rkt",
        "run",
        f"--uuid-file-save={uuid_file}",
        "--net=none",
        *([f"--stage1-hash={host.stage1}"] if host.stage1 else []),
        *before,
        pod.image,
        f"--name={pod.name}",
        f"--user={host.instance_uid}",
        f"--group={host.instance_uid}",
        *after,
        "--exec",
        "python3",
        "--",
        "-ISc",
        WITH_UMASK,
        "python3",
        *pod.arguments,
    ]


def seen(host: Host, pod: Pod) -> list[Path]:
    """What the pod reads: sockets of the host's services as far as they are there, and its own places.

    Raises Refused: one of the service user's places is a link, or somebody else's.
    """
    for path in (*pod.reads, *pod.writes):
        check_place(host, path)
    own = [path for path in pod.reads if not any(path.is_relative_to(other) for other in pod.writes)]
    return [path for path in (host.inside, *host.sockets) if path.exists()] + own


def check_place(host: Host, path: Path) -> None:
    """rkt mounts by path, some time after this look. The service user may put a link there in between: then the pod
    sees another directory, with the rights of a user that owns nothing, and no way to get more (NoNewPrivileges=)."""
    descriptor = open_without_links(path, os.O_PATH)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
        raise Refused(f"{path} is neither a directory nor a file")
    if found.st_uid != host.service_uid:
        raise Refused(f"{path} belongs to user {found.st_uid} and not to {SERVICE_USER}")


def cat_manifest(image: str) -> str:
    """Raises Refused: the image is not in rkt's store."""
    done = subprocess.run(
        ["rkt", "image", "cat-manifest", image], env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Refused(f"rkt does not give the image's manifest: {done.stderr.strip()}. Prepare the version again.")
    return done.stdout


def mount_points(manifest: str) -> list[str]:
    """Names of the image's mount points. Raises Refused: the manifest asks for more than an image may.

    rkt pastes some of it, such as the working directory, into unit files of a systemd that is root.
    """
    read = json.loads(manifest)
    for text in _all_texts(read):
        check_text(text)
    app = read.get("app") or {}
    for key in ("eventHandlers", "supplementaryGIDs"):
        if app.get(key):
            raise Refused(f"the image's manifest has {key}, which an image of OpenSlides has no use for")
    if not WORKING_DIRECTORY.fullmatch(app.get("workingDirectory") or ""):
        raise Refused("the image's working directory is not a plain path")
    names = [point["name"] for point in app.get("mountPoints") or []]
    if not all(AC_NAME.fullmatch(name) and not name.startswith("openslides") for name in names):
        raise Refused(f"the image's mount points {names} have names that are not possible")
    return names


def task(host: Host, task_id: str) -> int:
    """Do what task.json asks for. Its directory holds, all of it the service user's:

    task.json   what to do          output   what it printed
    alive       locked by who asks  result   the exit code, when it has ended

    Ends the task when nobody waits for it any more; systemd then takes the rest of the pod away.
    """
    directory = host.web / task_id
    with acting_as(host):
        alive = os.fdopen(open_without_links(directory / "alive", os.O_RDONLY | os.O_NONBLOCK), "rb")
        output = open(directory / "output", "xb", buffering=0)
    try:
        code = _perform(host, task_id, read_json(host, directory / "task.json"), output.fileno(), alive.fileno())
    except (Refused, OSError, ValueError, KeyError) as error:
        output.write(f"{error}\n".encode())
        code = 126
    with acting_as(host):
        if code is None:
            shutil.rmtree(directory)
            return 1
        with open(directory / "result.new", "x", encoding="utf-8") as stream:
            stream.write(str(code))
        (directory / "result.new").rename(directory / "result")
    return 0


def _perform(host: Host, task_id: str, wanted: Mapping[str, Any], output: int, alive: int) -> int | None:
    """The exit code; None: nobody waits any more."""
    kind = wanted.get("kind")
    if kind == "run":
        pod = task_pod(host, task_id, wanted)
        argv = rkt_run(host, pod, host.uuid_file(task_id), mount_points(cat_manifest(pod.image)))
        return _watched(argv, output, alive)
    if kind == "fetch":
        return _watched(fetch(wanted.get("image")), output, alive)
    asked = {"images": ["image", "list", "--format=json"], "pods": ["list", "--format=json"]}.get(str(kind))
    if kind == "discard":
        asked = ["image", "rm", image_hash(wanted.get("image"))]
    if asked is None:
        raise Refused(f"{kind!r} is no task")
    done = subprocess.run(["rkt", *asked], env=_environment(), capture_output=True, check=False)
    # `rkt list` warns of pods that come and go while it looks, which is no failure.
    os.write(output, done.stderr if done.returncode else done.stdout)
    return done.returncode


def fetch(reference: object) -> list[str]:
    """Images are not signed for rkt: what is fetched is noted by its hash, and checked against that ever after."""
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference) or ".." in reference:
        raise Refused(f"{reference!r} is no image that rkt is asked to fetch")
    if re.sub(r"^[a-z]+://", "", reference).startswith(STAGE1):
        raise Refused(f"{reference!r} is a part of rkt and no image of OpenSlides")
    insecure = "image,http" if LOOPBACK.match(reference) else "image"
    return ["rkt", "fetch", "--full", f"--insecure-options={insecure}", "--pull-policy=update", reference]


def _watched(argv: Sequence[str], output: int, alive: int) -> int | None:
    """Run rkt, in a session of its own: it looks at that to tell whether it is in a unit already."""
    process = subprocess.Popen(
        argv,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    rest = b""
    while True:
        code = process.poll()
        while piece := process.stdout.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                os.write(output, _stripped(line) + b"\n")
        if code is not None:
            os.write(output, _stripped(rest))
            return code if code >= 0 else 128 - code
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        else:
            return None


def _stripped(line: bytes) -> bytes:
    return LINE_OF_APP.sub(b"", line.rstrip(b"\r"))


def open_without_links(path: Path, flags: int) -> int:
    """A descriptor of ``path``, none of whose components is a link. Raises Refused."""
    parts = path.parts[1:]
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for number, part in enumerate(parts, 1):
            passage = os.O_PATH | os.O_DIRECTORY if number < len(parts) else flags
            following = os.open(part, passage | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise Refused(f"{path} is a link")
    except OSError as error:
        os.close(descriptor)
        raise Refused(f"{path}: {part}: {error.strerror} (a link is not followed)") from error
    except Refused:
        os.close(descriptor)
        raise
    return descriptor


def read_json(host: Host, path: Path) -> dict[str, Any]:
    """A file of the service user's, read with his rights. Raises Refused."""
    with acting_as(host):
        descriptor = open_without_links(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != host.service_uid:
            raise Refused(f"{path} is not a file of {SERVICE_USER}'s own")
        content = stream.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise Refused(f"{path} is larger than {FILE_BYTES} bytes")
    read = json.loads(content)
    if not isinstance(read, dict):
        raise Refused(f"{path} does not hold an object")
    return read


@contextlib.contextmanager
def acting_as(host: Host) -> Iterator[None]:
    """What is opened is what the service user could open himself."""
    if os.geteuid() == host.service_uid:
        yield
        return
    groups = os.getgroups()
    os.setgroups([host.service_gid])
    os.setegid(host.service_gid)
    os.seteuid(host.service_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def check_text(text: str, plain: bool = False) -> None:
    """Raises Refused. ``plain``: a path that becomes a part of an option, where a comma would begin another."""
    if CONTROL.search(text) or (plain and "," in text):
        raise Refused(f"{text!r} has a character that must not be in it")


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Refused(f"{what} is not a list of texts")
    for text in value:
        check_text(text)
    return tuple(value)


def _variables(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(VARIABLE.fullmatch(name) for name in value):
        raise Refused("environment is not an object of variables")
    return dict(zip(value, _texts(list(value.values()), "environment"), strict=True))


def _directory(name: str) -> str:
    if not DIRECTORY.fullmatch(name) or ".." in name:
        raise Refused(f"{name!r} is not the name of a version's directory")
    return name


def _all_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _all_texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _all_texts(item)


def _environment(*kept: str) -> dict[str, str]:
    return {"PATH": PATH, "LANG": "C.UTF-8", **{name: os.environ[name] for name in kept if name in os.environ}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
