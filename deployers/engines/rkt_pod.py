"""What the engine rkt lets a pod be, and the command that runs it. Nothing here touches the host.

``rkt run`` is root's, and what shall be run is said by the service user, who must not become root by it. So root's
program (``deployers/services/rkt_unit.py``) takes from the service user's files what is checked here, and decides all
else itself:

    taken     the image's hash, which must be in rkt's store; the arguments of its python3; OpenSlides' environment; the
              name of a version's directory; what is fetched
    decided   every option of rkt; user and group; no network; which directories are seen, and at which path

Nothing but the standard library, because root imports it. How rkt 1.30 behaves was measured; "rkt writes" and the like
is from its source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ID = re.compile(r"[0-9a-f]{32}")
IMAGE_HASH = re.compile(r"sha512-[0-9a-f]{64}")
"""How ``rkt fetch --full`` and rkt's JSON write it: half of the image's SHA-512."""
REFERENCE = re.compile(
    r"docker://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+"
    r"(?::[A-Za-z0-9][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
    r"|https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9._-]+)*/[A-Za-z0-9._-]+\.aci"
    r"|/(?:[A-Za-z0-9._-]+/)*[A-Za-z0-9._-]+\.aci"
    r"|[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9._-]*)+(?::[A-Za-z0-9][A-Za-z0-9._-]*)?"
)
"""What ``rkt fetch`` is given: a registry's image, or an ACI by its URL, its path, or its name."""
LOOPBACK = re.compile(r"docker://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?/")
STAGE1 = "coreos.com/rkt/stage1"
"""How the images are named that rkt itself runs as root; no version may bring one."""

DIRECTORY = r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}"
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""rkt writes parts of the image's manifest into unit files of the pod's systemd, which is root: a line more would be an
option more."""
AC_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
WORKING_DIRECTORY = re.compile(r"(?:/[A-Za-z0-9._/-]*)?")
WITH_UMASK = "import os, sys; os.umask(7); os.execvp(sys.argv[1], sys.argv[1:])"
"""The control plane must be able to remove what OpenSlides makes: the mask of acl(5) comes from this."""
SECCOMP = "mode=retain,errno=ENOSYS,@rkt/default-whitelist"
"""rkt's own list of system calls, from 2016, with another end for a call that is not in it. By itself, such a call is
the end of the process (SIGSYS), and glibc since 2.34 makes some for threads and children: clone3, close_range. After
ENOSYS it takes the older ones, as on an older kernel. rkt's seccomp guide, "Overriding seccomp filters at run-time": it
follows the image, and takes the place of what the image's manifest says."""
FROM_THE_NETWORK = ("http:", "https:")

INSIDE = Path(__file__).resolve().parent.parent / "openslides" / "inside"
SOCKETS = (Path("/run/postgresql"), Path("/run/redis-openslides"), Path("/run/openslides/mail"))
"""What every pod sees, and no file of the service user's names. Directories: a server that starts anew makes its socket
anew."""


class Refused(Exception):
    """What the service user asks for is not done; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Host:
    """Numbers of the users, and the places that pods may see. ``stage1``: the hash of the stage1 image to run with;
    None for the one that rkt's own configuration names. ``stage1_location``: where that says it comes from, a path or a
    URL; '' if it does not. ``on_overlay``: whether rkt's own directory lies on an overlay."""

    service_uid: int
    service_gid: int
    instance_uid: int
    stage1: str | None = None
    stage1_location: str = ""
    on_overlay: bool = False
    data: Path = Path("/srv/openslides")
    web: Path = Path("/run/openslides/web")
    runtime: Path = Path("/run/openslides/rkt")
    inside: Path = INSIDE
    sockets: tuple[Path, ...] = SOCKETS

    def uuid_file(self, name: str) -> Path:
        return self.runtime / f"{name}.uuid"


@dataclass(frozen=True, slots=True)
class Pod:
    """What is run. ``image``: its hash; ``arguments``: of its python3; ``reads``, ``writes``: the service user's files
    and directories, seen under the same path."""

    name: str
    image: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


def pod_name(instance_id: str) -> str:
    """A name of rkt's: lower-case letters, digits, hyphens."""
    return f"openslides-{instance_id}"


def instance_pod(host: Host, instance_id: str, service: Mapping[str, Any]) -> Pod:
    """What service.json asks for; its "argv" is ["rkt", HASH, VERSION'S DIRECTORY, "python3", ARGUMENT, …]."""
    argv = _texts(service.get("argv"), "argv")
    if len(argv) < 5 or argv[0] != "rkt" or argv[3] != "python3":
        raise Refused('argv is not ["rkt", HASH, VERSION, "python3", …]: start the instance in the admin')
    if not re.fullmatch(DIRECTORY, argv[2]) or ".." in argv[2]:
        raise Refused(f"{argv[2]!r} is not the name of a version's directory")
    directory = host.data / "instances" / instance_id
    return Pod(
        pod_name(instance_id),
        image_hash(argv[1]),
        argv[4:],
        _variables(service.get("environment")),
        reads=(
            directory / "settings.py",
            directory / "public" / "static",
            host.data / "versions" / argv[2] / "static",
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
    """Files and directories that management commands may be given: of a version, of an instance, of its update."""
    version = rf"/versions/{DIRECTORY}(?:/build|/static)?"
    instance = rf"/instances/{ID.pattern}(?:/data|/settings\.py|/public/static|/previous/[0-9A-Za-z_-]{{1,64}}/migrate)"
    if ".." in path or not re.fullmatch(rf"{re.escape(str(host.data))}(?:{version}|{instance})", path):
        raise Refused(f"{path!r} is no place that a management command is given")
    return Path(path)


def image_hash(value: object) -> str:
    if not isinstance(value, str) or not IMAGE_HASH.fullmatch(value):
        raise Refused(f"{value!r} is not the hash of an image (sha512- and 64 hexadecimal digits): prepare the version")
    return value


def rkt_fetch(reference: object) -> list[str]:
    """Images are rarely signed for rkt, docker's never: so what was fetched is noted by its hash, and run by that.

    An ``http:`` registry is taken on the machine itself only.
    """
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference) or ".." in reference:
        raise Refused(f"{reference!r} is no image that rkt is asked to fetch")
    if re.sub(r"^[a-z]+://", "", reference).startswith(STAGE1):
        raise Refused(f"{reference!r} is a part of rkt and no image of OpenSlides")
    insecure = "image,http" if LOOPBACK.match(reference) else "image"
    return ["rkt", "fetch", "--full", f"--insecure-options={insecure}", "--pull-policy=update", reference]


def rkt_run(host: Host, pod: Pod, uuid_file: Path, sockets: Sequence[Path], mount_points: Sequence[str]) -> list[str]:
    """The command. ``sockets``: those of the host's services that are there; ``mount_points``: the image's.

    Options of the pod come before the image, options of its app after it; rkt takes them in no other order.

    ``--insecure-options=image`` is for stage1 alone, which the first pod of a host imports, and which has no signature
    where it was built; without that, rkt ends with 254. It is a file of root's. The image itself goes by its hash: rkt
    takes it from its store, and does not look for a signature. Where rkt is configured to download its stage1, that is
    checked as ever, and so is everywhere all else that --insecure-options could leave unchecked.
    """
    before: list[str] = []
    after: list[str] = []
    for number, (path, writable) in enumerate(_volumes(host, pod, sockets)):
        if CONTROL.search(str(path)) or "," in str(path):
            raise Refused(f"{str(path)!r} cannot be a volume: a comma would begin another option")
        read_only = "" if writable else ",readOnly=true"
        before += ["--volume", f"openslides-{number},kind=host,source={path}{read_only}"]
        after += ["--mount", f"volume=openslides-{number},target={path}"]
    for name in mount_points:
        owner = f"uid={host.instance_uid},gid={host.instance_uid}"
        before += ["--volume", f"{name},kind=empty,mode=0700,{owner}"]
    # The path of programs is the image's own.
    before += [f"--set-env={name}={value}" for name, value in sorted(pod.environment.items()) if name != "PATH"]
    return [
        "rkt",
        "run",
        f"--uuid-file-save={uuid_file}",
        "--net=none",
        *_stage1(host),
        # rkt mounts an overlay for each pod, and the kernel takes none whose upper directory is on another overlay.
        *(["--no-overlay"] if host.on_overlay else []),
        *before,
        pod.image,
        f"--name={pod.name}",
        f"--user={host.instance_uid}",
        f"--group={host.instance_uid}",
        f"--seccomp={SECCOMP}",
        *after,
        "--exec",
        "python3",
        "--",
        "-ISc",
        WITH_UMASK,
        "python3",
        *pod.arguments,
    ]


def _stage1(host: Host) -> list[str]:
    if host.stage1:
        return [f"--stage1-hash={host.stage1}"]
    return [] if host.stage1_location.startswith(FROM_THE_NETWORK) else ["--insecure-options=image"]


def _volumes(host: Host, pod: Pod, sockets: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Paths, and whether they may be changed; a directory before what is in it."""
    seen = dict.fromkeys((host.inside, *sockets, *pod.reads), False)
    for writable in pod.writes:
        seen = {path: False for path in seen if not path.is_relative_to(writable)}
    return sorted({**seen, **dict.fromkeys(pod.writes, True)}.items())


def mount_points(manifest: str) -> list[str]:
    """Names of the image's mount points, which want a volume each. Raises Refused: the manifest (what ``rkt image
    cat-manifest`` prints) has more than an image of OpenSlides needs."""
    read = json.loads(manifest)
    app = read.get("app") or {}
    # Scripts of several lines are common there, and harmless: --exec takes its place as a whole.
    app.pop("exec", None)
    for text in _texts_in(read):
        if CONTROL.search(text):
            raise Refused(f"the image's manifest has a control character in {text!r}")
    if str(read.get("name", "")).startswith(STAGE1):
        raise Refused("the image is a part of rkt and no image of OpenSlides")
    for key in ("eventHandlers", "supplementaryGIDs"):
        if app.get(key):
            raise Refused(f"the image's manifest has {key}, which an image of OpenSlides has no use for")
    if not WORKING_DIRECTORY.fullmatch(app.get("workingDirectory") or ""):
        raise Refused("the image's working directory is not a plain path")
    names = [point["name"] for point in app.get("mountPoints") or []]
    if not all(AC_NAME.fullmatch(name) and not name.startswith("openslides-") for name in names):
        raise Refused(f"the image's mount points have names that are not possible: {names}")
    return names


def _texts(value: object, what: str) -> tuple[str, ...]:
    """rkt quotes arguments for a unit file of the pod's systemd, where ``%`` would still be a specifier; and after
    ``---`` it reads options again, and another image."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Refused(f"{what} is not a list of texts")
    for text in value:
        if CONTROL.search(text) or "%" in text or text == "---":
            raise Refused(f"{what}: {text!r} cannot be given to rkt")
    return tuple(value)


def _variables(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, str) and VARIABLE.fullmatch(name) for name in value):
        raise Refused("environment is not an object of variables")
    return dict(zip(value, _texts(list(value.values()), "environment"), strict=True))


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts_in(item)
