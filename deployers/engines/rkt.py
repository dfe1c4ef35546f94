"""Engine ``rkt``: pods of rkt 1.30, for hosts that still have it; run by systemd units.

rkt wants root, so nothing is run from here: the control plane asks units of root's for it, which take checked values
and decide the rest (``rkt_pod.py``). A pod has no network, and sees what a container of podman sees; its processes have
on the host the number that podman's have there, so an instance can be moved from one engine to the other.

How it is encoded what an instance runs: service.json, which the unit openslides_rkt@ID.service reads, has the "argv"

    ["rkt", "sha512-…", DIRECTORY, "python3", ARGUMENT, …]

the image's hash, the name of the version's directory below /srv/openslides/versions, and what runs in the pod; and as
"environment" that of the process in the pod. A management command is a task, see ``rkt_task.py``.

An image is named as ``rkt fetch`` takes it, and pinned by the hash it had when the version was prepared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deployers.commands import run
from deployers.engines.engine import Command, Process
from deployers.engines.rkt_answers import (
    Image,
    ImageStays,
    RktFailed,
    RktImageRefused,
    RktPod,
    fetched_hash,
    read_images,
    read_pods,
)
from deployers.engines.rkt_pod import IMAGE_HASH, INSIDE, REFERENCE, SOCKETS, STAGE1
from deployers.errors import CommandFailed, CommandTimedOut, PreparationBroken, UnknownImage
from deployers.files import write_private
from deployers.layout import SystemdLayout
from deployers.plan import Action, Log
from deployers.spec import VersionSpec

PYTHON = "/usr/bin/python3"
TASK = Path(__file__).with_name("rkt_task.py")
HASH_PREFIX = re.compile(r"sha512-[0-9a-f]{8,64}")
RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)+")
FOUND_RELEASE = re.compile(r"^openslides ([0-9]\S*)\s*$", re.MULTILINE)
OF_INSTANCE = re.compile(r"openslides-(?:task-)?[0-9a-f]{32}")
LOOK_SECONDS = 60.0
KNOWN = ("docker://HOST/NAME:TAG", "https://HOST/FILE.aci", "/DIRECTORY/FILE.aci", "NAME of an ACI", "sha512-…")


@dataclass(frozen=True, slots=True)
class Pinned:
    """What image.json says: the image that a preparation was made with."""

    reference: str
    image_id: str
    release: str


class Rkt:
    """See the module. ``instance_uid``: who pods run as (root's unit decides). ``timeout``: seconds for a fetch, and
    for a look into an image, for which rkt unpacks it; and its own stage1 too, if nothing ran on this host before."""

    names_move = True

    def __init__(self, layout: SystemdLayout, instance_uid: int, timeout: float = 900.0) -> None:
        self.layout = layout
        self.instance_uid = instance_uid
        self.timeout = timeout

    def release(self, version: VersionSpec) -> str:
        """What the image says, once it is there; until then what the version's name begins with."""
        known = REFERENCE.fullmatch(version.image) or HASH_PREFIX.fullmatch(version.image)
        if not known or ".." in version.image or STAGE1 in version.image:
            raise UnknownImage(version.image, KNOWN)
        try:
            return self._pinned(version).release
        except PreparationBroken:
            match = RELEASE.match(version.name)
            if match is None:
                raise UnknownImage(version.image, KNOWN) from None
            return match[0]

    def install(self, version: VersionSpec) -> Sequence[tuple[str, Action]]:
        return (
            ("fetch the image", lambda log: self._install(version, log)),
            ("look into the image", lambda log: self.check(version)),
        )

    def outdated(self, version: VersionSpec, log: Log) -> bool:
        return self._fetch(version.image, log) != self._pinned(version).image_id

    def discard(self, version: VersionSpec) -> None:
        """Remove the image, unless another version needs it. Raises ImageStays."""
        try:
            image_id = self._pinned(version).image_id
        except PreparationBroken:
            return
        self._file(version).unlink()
        self._remove({image_id} - self._needed())

    def missing(self, version: VersionSpec) -> str | None:
        try:
            self._pinned(version)
        except PreparationBroken:
            return "its image"
        return None

    def check(self, version: VersionSpec) -> None:
        pinned = self._pinned(version)
        if pinned.image_id not in {image.id for image in self.images()}:
            raise PreparationBroken(version.name, f"its image {pinned.image_id} is not in rkt's store any more")
        found = self._installed_release(pinned.image_id, version)
        if found != pinned.release:
            raise PreparationBroken(version.name, f"its image holds OpenSlides {found}, not {pinned.release}")

    def command(self, version: VersionSpec, process: Process) -> Command:
        return self._command(self._pinned(version).image_id, process)

    def service(self, version: VersionSpec, process: Process, instance_id: str) -> Command:
        """What service.json carries; see the module. Root's unit derives from the instance's id what the pod sees."""
        directory = self.layout.version(version).directory.name
        argv = ("rkt", self._pinned(version).image_id, directory, "python3", *process.arguments)
        return Command(argv, process.environment)

    def stop(self, instance_id: str) -> tuple[str, ...]:
        return ()

    def cleanup(self, instance_id: str) -> tuple[str, ...]:
        """Nothing: the unit removes its pod after every stop, also after a crash (ExecStopPost=)."""
        return ()

    def containers(self) -> Collection[str]:
        """None: pods that run are services, and rkt gc takes away in time those that have ended."""
        return ()

    def remove_container(self, instance_id: str) -> None:
        """See ``containers``."""

    def pods(self) -> list[RktPod]:
        """All pods of instances and tasks that rkt knows; without those that somebody else runs on this host."""
        pods = read_pods(self._do(LOOK_SECONDS, _unheard, kind="pods"))
        return [pod for pod in pods if any(OF_INSTANCE.fullmatch(app.name) for app in pod.apps)]

    def left_behind(self) -> list[RktPod]:
        """Pods that have ended and were not removed, as after a crash of the host; rkt gc takes them away in time."""
        return [pod for pod in self.pods() if not pod.is_running]

    def images(self) -> list[Image]:
        return read_images(self._do(LOOK_SECONDS, _unheard, kind="images"))

    def _install(self, version: VersionSpec, log: Log) -> None:
        """Raises RktImageRefused, PreparationBroken."""
        image_id = self._fetch(version.image, log)
        release = self._installed_release(image_id, version)
        self.layout.version(version).directory.mkdir(parents=True, exist_ok=True)
        pinned = Pinned(version.image, image_id, release)
        write_private(self._file(version), json.dumps(asdict(pinned), indent=2) + "\n")
        self._sweep()

    def _fetch(self, reference: str, log: Log) -> str:
        """The hash of the image that the reference leads to now. Raises RktImageRefused.

        rkt does not fetch by a hash, even one that it has; and has images of names that nobody publishes (fetched from
        a file), which it does not find again either.
        """
        if HASH_PREFIX.fullmatch(reference):
            return self._stored(reference)
        try:
            image_id = fetched_hash(self._do(self.timeout, log, kind="fetch", image=reference))
        except RktFailed as error:
            named = [image for image in self.images() if image.name == reference]
            if "discovery failed" not in error.tail or not named:
                raise RktImageRefused(reference, error.tail) from error
            log(f"Nobody publishes {reference}; rkt has it.\n")
            image_id = max(named, key=lambda image: image.imported).id
        if image_id is None or image_id not in {image.id for image in self.images()}:
            raise RktImageRefused(reference, "rkt says that it was fetched, and does not have it")
        return image_id

    def _stored(self, prefix: str) -> str:
        found = [image.id for image in self.images() if image.id.startswith(prefix) and STAGE1 not in image.name]
        if len(found) != 1:
            raise RktImageRefused(prefix, f"{len(found)} images in rkt's store begin like that: rkt image list --full")
        return found[0]

    def _installed_release(self, image_id: str, version: VersionSpec) -> str:
        """Raises PreparationBroken."""
        code = "import django, rest_framework, channels, openslides; print(openslides.__name__, openslides.__version__)"
        command = self._command(image_id, Process(("-c", code), {}))
        try:
            printed = run(command.argv, log=_unheard, timeout=self.timeout, env=command.environment, cwd=Path("/"))
        except CommandFailed as error:
            failed = RktFailed(error.code, error.tail)
            raise PreparationBroken(version.name, f"its image has no OpenSlides that can be run: {failed}") from error
        except CommandTimedOut as error:
            raise PreparationBroken(version.name, f"its image was not unpacked and run in time: {error}") from error
        found = FOUND_RELEASE.search(printed)
        if found is None:
            raise PreparationBroken(version.name, f"its image does not tell its OpenSlides: {printed.strip()[-200:]!r}")
        return found[1]

    def _sweep(self) -> None:
        """Remove what image names led to before: rkt keeps it under the same name."""
        images, needed = self.images(), self._needed()
        ours = {image.name for image in images if image.id in needed}
        self._remove({image.id for image in images if image.name in ours} - needed)

    def _needed(self) -> set[str]:
        """The images of all versions, and those that instances have until their next start."""
        versions = (self.layout.data_dir / "versions").glob("*/image.json")
        found = {str(json.loads(path.read_text(encoding="utf-8"))["image_id"]) for path in versions}
        for path in (self.layout.data_dir / "instances").glob("*/service.json"):
            argv = json.loads(path.read_text(encoding="utf-8"))["argv"]
            found |= {word for word in argv if IMAGE_HASH.fullmatch(word)}
        return found

    def _remove(self, image_ids: Iterable[str]) -> None:
        """``rkt image rm`` ends with 0, whatever it did."""
        wanted = set(image_ids)
        for image_id in sorted(wanted):
            self._do(LOOK_SECONDS, _unheard, kind="discard", image=image_id)
        if not wanted:
            return
        for left in wanted & {image.id for image in self.images()}:
            raise ImageStays(left)

    def _command(self, image_id: str, process: Process) -> Command:
        """A task. What every pod sees need not be said, and what it is allowed to see is checked by root."""
        reads = [str(path) for path in process.reads if path not in (INSIDE, *SOCKETS)]
        environment = {name: value for name, value in process.environment.items() if name != "PATH"}
        return _task(
            kind="run",
            image=image_id,
            arguments=list(process.arguments),
            environment=environment,
            reads=reads,
            writes=[str(path) for path in process.writes],
        )

    def _do(self, timeout: float, log: Log, **wanted: object) -> str:
        """Raises RktFailed, CommandTimedOut."""
        try:
            return run(_task(**wanted).argv, log=log, timeout=timeout, cwd=Path("/"))
        except CommandFailed as error:
            raise RktFailed(error.code, error.tail) from error

    def _file(self, version: VersionSpec) -> Path:
        return self.layout.version(version).directory / "image.json"

    def _pinned(self, version: VersionSpec) -> Pinned:
        """Raises PreparationBroken."""
        try:
            pinned = Pinned(**json.loads(self._file(version).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise PreparationBroken(version.name, "its image was not fetched") from None
        if not IMAGE_HASH.fullmatch(pinned.image_id):
            raise PreparationBroken(version.name, "its image.json is damaged")
        return pinned


def _task(**wanted: object) -> Command:
    return Command((PYTHON, "-IS", str(TASK), json.dumps(wanted)))


def _unheard(text: str) -> None:
    """A :data:`deployers.plan.Log` for what is of no interest."""
