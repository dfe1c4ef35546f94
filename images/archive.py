"""Root file systems as OCI archives (buildah-build(1), containers-transports(5))."""

from __future__ import annotations

import json
from pathlib import Path

from images.recipe import BASE_CONTAINERFILE, Recipe
from images.sandbox import on_machine

BASE = "localhost/openslides-base"
WITHOUT_CACHE = (
    "sh",
    "-c",
    'mkdir -p /var/lib/containers && mount -t tmpfs none /var/lib/containers && exec "$@"',
    "sh",
)
"""buildah run by root keeps its knowledge of layers there, whatever --root says."""


def pack(root: Path, members: str, archive: Path, seconds: int) -> None:
    """The directory ``members`` of ``root`` as a tar file, owned by root, with one time stamp.

    Device files and the contents of /proc and /sys are the container engine's; a rootless one cannot make them.
    """
    excluded = ("./dev/*", "./proc/*", "./sys/*", "./run/*", "./tmp/*")
    form = ["--sort=name", f"--mtime=@{seconds}", "--numeric-owner"]
    owner = [] if members == "." else ["--owner=0", "--group=0"]
    left_out = [f"--exclude={pattern}" for pattern in excluded]
    on_machine(["tar", "--create", f"--file={archive}", f"--directory={root}", *form, *owner, *left_out, members], root)


class Buildah:
    """buildah with a storage of its own below ``scratch``. ``context``: where the tar files lie.

    All files and the image get the time ``seconds``, so the same contents make an image with the same digest.
    """

    def __init__(self, scratch: Path, context: Path, seconds: int) -> None:
        self.scratch = scratch
        self.context = context
        self.seconds = seconds

    def build_base(self) -> None:
        self._build(BASE, BASE_CONTAINERFILE)

    def build(self, recipe: Recipe) -> None:
        self._build(recipe.reference, recipe.containerfile, f"--build-arg=RELEASE={recipe.release}")

    def export(self, recipe: Recipe, archive: Path) -> dict[str, str]:
        """Write the archive; ``id`` and ``digest`` of the image, both "sha256:…"."""
        digest = self.scratch / "digest"
        target = f"oci-archive:{archive}:{recipe.reference}"
        self._buildah("push", "--quiet", f"--digestfile={digest}", recipe.reference, target)
        images = json.loads(self._buildah("images", "--json", "--no-trunc", recipe.reference))
        return {"id": images[0]["id"], "digest": digest.read_text(encoding="utf-8").strip()}

    def _build(self, reference: str, containerfile: Path, *options: str) -> None:
        self._buildah(
            "build",
            "--quiet",
            "--pull-never",
            "--isolation=chroot",
            "--format=oci",
            "--no-cache",
            f"--timestamp={self.seconds}",
            f"--tag={reference}",
            f"--file={containerfile}",
            *options,
            str(self.context),
        )

    def _buildah(self, *arguments: str) -> str:
        places = [f"--root={self.scratch}/storage", f"--runroot={self.scratch}/run", "--storage-driver=vfs"]
        return on_machine([*WITHOUT_CACHE, "buildah", *places, *arguments], self.scratch)
