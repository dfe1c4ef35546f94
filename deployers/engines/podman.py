"""Engine ``podman``: rootless containers of the service user, run by systemd units.

A container sees a read-only root file system, the directories that its process is given, and no network: it reaches
PostgreSQL, Redis and the mail relay, and is reached itself, by unix sockets. Processes have no capability and cannot
get one; on the host they are a subordinate user that owns nothing else (subuid(5)).

An image is named by reference, and pinned by the id it had when the version was prepared (podman-images(1): the id is
the hash of the image's configuration, which names the hash of every layer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deployers.commands import run
from deployers.engines.engine import Command, Process
from deployers.errors import CommandFailed, ImageRefused, PreparationBroken, UnknownImage
from deployers.files import write_private
from deployers.layout import Layout
from deployers.plan import Action, Log
from deployers.spec import VersionSpec

REFERENCE = re.compile(
    r"(?:oci|docker)-archive:/[A-Za-z0-9._/-]+"
    r"|(?:docker://)?[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+"
    r"(?::[A-Za-z0-9][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
)
"""What podman-pull(1) takes: an archive by its absolute path, or a reference with its registry (``localhost`` is the
host's own storage). Never what could be taken for an option, or leads upwards."""
RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)+")
IMAGE_ID = re.compile(r"[0-9a-f]{64}")
USER = 1000
"""The user of OpenSlides in the image, by number: images of others need no such name."""
LOOK_SECONDS = 60.0
LOG_SIZE = "5mb"
STOP_SECONDS = 8
"""Less than the unit's own time-out."""
KNOWN = ("docker.io/NAME/IMAGE:TAG", "localhost/IMAGE:TAG", "oci-archive:/srv/openslides/images/FILE.tar")


@dataclass(frozen=True, slots=True)
class PodmanSettings:
    """What can be chosen. ``home`` and ``runtime``: directories of the service user, HOME and XDG_RUNTIME_DIR.
    ``containers_conf`` and ``storage_conf``: root's files, instead of those that podman looks for in HOME.

    ``cgroups``: podman-run(1), ``--cgroups``. A container stays in the cgroup of the unit that starts it, where the
    unit's limits hold. ``options``: more options of ``podman run``, for all containers. ``pull_timeout``: seconds.
    """

    home: Path
    runtime: Path
    cgroups: str = "disabled"
    options: tuple[str, ...] = field(default=())
    pull_timeout: float = 900.0
    containers_conf: Path = Path("/etc/openslides-multiinstance/containers.conf")
    storage_conf: Path = Path("/etc/openslides-multiinstance/storage.conf")

    @property
    def environment(self) -> Mapping[str, str]:
        """No user bus below XDG_RUNTIME_DIR: with one, podman would move its containers out of their units."""
        return {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "CONTAINERS_CONF": str(self.containers_conf),
            "CONTAINERS_STORAGE_CONF": str(self.storage_conf),
        }


@dataclass(frozen=True, slots=True)
class Pinned:
    """What image.json says: the image that a preparation was made with."""

    reference: str
    image_id: str
    release: str


class Podman:
    """See the module."""

    names_move = True

    def __init__(self, layout: Layout, settings: PodmanSettings) -> None:
        self.layout = layout
        self.settings = settings

    def release(self, version: VersionSpec) -> str:
        """What the image says, once it is there; until then what the version's name begins with."""
        if not REFERENCE.fullmatch(version.image) or ".." in version.image:
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
            ("fetch the image", lambda log: self._fetch(version, log)),
            ("look into the image", lambda log: self.check(version)),
        )

    def discard(self, version: VersionSpec) -> None:
        """Remove the image, unless another version needs it. What says which it was goes last, for another try."""
        try:
            image_id = self._pinned(version).image_id
        except PreparationBroken:
            return
        file = self._file(version)
        if image_id not in self._needed(besides=file):
            self._remove(image_id)
        file.unlink()

    def _sweep(self) -> None:
        """Remove what image names led to before, as far as no version and no container needs it."""
        listed = self._podman(
            ["images", "--quiet", "--no-trunc", "--filter=dangling=true"], lambda text: None, LOOK_SECONDS
        )
        # Beside its answer, podman may print a warning.
        found = {word.removeprefix("sha256:") for word in listed.split()}
        for image_id in {word for word in found if IMAGE_ID.fullmatch(word)} - self._needed():
            self._remove(image_id)

    def _needed(self, besides: Path | None = None) -> set[str]:
        """The images of all versions, and those that instances start with. ``besides``: a version's image.json."""
        versions = (self.layout.data_dir / "versions").glob("*/image.json")
        found = {str(json.loads(path.read_text(encoding="utf-8"))["image_id"]) for path in versions if path != besides}
        for path in (self.layout.data_dir / "instances").glob("*/service.json"):
            argv = json.loads(path.read_text(encoding="utf-8"))["argv"]
            found |= {word for word in argv if IMAGE_ID.fullmatch(word)}
        return found

    def _remove(self, image_id: str) -> None:
        """podman-image-exists(1): exit code 1: there is none. podman-rmi(1): 1: the same; 2: a container uses it.

        podman does not remove an image that has several names by its id; one without names that is still in use goes
        with a later sweep.
        """
        for arguments, accepted in ((["exists"], (1,)), (["untag"], ()), (["rm"], (1, 2))):
            try:
                self._podman(["image", *arguments, image_id], lambda text: None, LOOK_SECONDS)
            except CommandFailed as error:
                if error.code not in accepted:
                    raise
                return

    def missing(self, version: VersionSpec) -> str | None:
        try:
            self._pinned(version)
        except PreparationBroken:
            return "its image"
        return None

    def check(self, version: VersionSpec) -> None:
        pinned = self._pinned(version)
        found = self._installed_release(pinned.image_id, version)
        if found != pinned.release:
            raise PreparationBroken(version.name, f"its image holds OpenSlides {found}, not {pinned.release}")

    def command(self, version: VersionSpec, process: Process) -> Command:
        return self._command(["--rm", "--log-driver=none"], version, process)

    def service(self, version: VersionSpec, process: Process, instance_id: str) -> Command:
        """``-d`` with ``--sdnotify=conmon``: conmon becomes the unit's main process, and podman itself ends."""
        name = container_name(instance_id)
        options = ["-d", "--rm", "--replace", "--name", name, "--init", "--sdnotify=conmon"]
        # A file of the service user's, because he may not read the system's journal.
        options += ["--log-driver=k8s-file", f"--log-opt=path={process.log}", f"--log-opt=max-size={LOG_SIZE}"]
        return self._command(options, version, process)

    def stop(self, instance_id: str) -> tuple[str, ...]:
        """podman-stop(1). Now and then OpenSlides 3 does not end; the instance shall sleep all the same."""
        name = container_name(instance_id)
        return ("podman", "--cgroup-manager=cgroupfs", "stop", "--ignore", f"--time={STOP_SECONDS}", name)

    def cleanup(self, instance_id: str) -> tuple[str, ...]:
        """podman-rm(1): ``--ignore``, so one that is gone is fine."""
        name = container_name(instance_id)
        return ("podman", "--cgroup-manager=cgroupfs", "rm", "--force", "--ignore", "--time=0", name)

    def containers(self) -> Collection[str]:
        """Also those that do not run."""
        names = self._podman(["ps", "--all", "--format={{.Names}}"], lambda text: None, LOOK_SECONDS).split()
        return {match[1] for name in names if (match := OF_INSTANCE.fullmatch(name)) is not None}

    def remove_container(self, instance_id: str) -> None:
        arguments = ["rm", "--force", "--ignore", "--time=0", container_name(instance_id)]
        self._podman(arguments, lambda text: None, LOOK_SECONDS)

    def _command(self, options: Sequence[str], version: VersionSpec, process: Process) -> Command:
        mounts = [f"--volume={path}:{path}:ro" for path in process.reads if path not in process.writes]
        mounts += [f"--volume={path}:{path}:rw" for path in process.writes]
        variables = [f"--env={name}={value}" for name, value in process.environment.items() if name != "PATH"]
        argv = [
            *self._run(),
            *options,
            *mounts,
            *variables,
            self._pinned(version).image_id,
            "python3",
            *process.arguments,
        ]
        return Command(tuple(argv), self.settings.environment)

    def _run(self) -> list[str]:
        return [
            "podman",
            "--cgroup-manager=cgroupfs",
            "run",
            "--pull=never",
            f"--cgroups={self.settings.cgroups}",
            "--network=none",
            "--read-only",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            f"--user={USER}:{USER}",
            # The control plane must be able to remove what OpenSlides makes: the mask of acl(5) comes from this.
            "--umask=0007",
            "--workdir=/",
            *self.settings.options,
        ]

    def outdated(self, version: VersionSpec, log: Log) -> bool:
        return self._pull(version.image, log) != self._pinned(version).image_id

    def _fetch(self, version: VersionSpec, log: Log) -> None:
        """Raises ImageRefused, PreparationBroken."""
        image_id = self._pull(version.image, log)
        release = self._installed_release(image_id, version)
        self.layout.version(version).directory.mkdir(parents=True, exist_ok=True)
        pinned = Pinned(version.image, image_id, release)
        write_private(self._file(version), json.dumps(asdict(pinned), indent=2) + "\n")
        self._sweep()

    def _pull(self, reference: str, log: Log) -> str:
        """The id of the image that the reference leads to now. Raises ImageRefused."""
        local = reference.startswith("localhost/")
        try:
            if local:
                printed = self._podman(["image", "inspect", "--format", "{{.Id}}", reference], log, LOOK_SECONDS)
            else:
                printed = self._podman(["pull", "--quiet", reference], log, self.settings.pull_timeout)
        except CommandFailed as error:
            raise ImageRefused(reference, error.tail) from error
        image_id = printed.split()[-1].removeprefix("sha256:") if printed.split() else ""
        if not IMAGE_ID.fullmatch(image_id):
            raise ImageRefused(reference, f"podman answered {printed.strip()!r} instead of the image's id")
        return image_id

    def _installed_release(self, image_id: str, version: VersionSpec) -> str:
        """Raises PreparationBroken."""
        code = "import django, rest_framework, channels, openslides; print(openslides.__version__)"
        try:
            printed = self._podman([*self._run()[2:], "--rm", image_id, "python3", "-c", code], lambda text: None, 60)
        except CommandFailed as error:
            raise PreparationBroken(version.name, f"its image has no OpenSlides that can be run: {error}") from error
        return printed.split()[-1] if printed.split() else ""

    def _podman(self, arguments: Sequence[str], log: Log, timeout: float) -> str:
        return run(
            ["podman", "--cgroup-manager=cgroupfs", *arguments],
            log=log,
            timeout=timeout,
            env=self.settings.environment,
            cwd=Path("/"),
        )

    def _file(self, version: VersionSpec) -> Path:
        return self.layout.version(version).directory / "image.json"

    def _pinned(self, version: VersionSpec) -> Pinned:
        """Raises PreparationBroken."""
        try:
            pinned = Pinned(**json.loads(self._file(version).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise PreparationBroken(version.name, "its image was not fetched") from None
        if not IMAGE_ID.fullmatch(pinned.image_id):
            raise PreparationBroken(version.name, "its image.json is damaged")
        return pinned


OF_INSTANCE = re.compile(r"openslides-([0-9a-f]{32})")


def container_name(instance_id: str) -> str:
    return f"openslides-{instance_id}"
