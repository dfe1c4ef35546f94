"""What rkt 1.30 prints, read; and what its complaints ask an operator to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from deployers.errors import DeployError, ImageRefused

NANOSECONDS_FROM = 10**14
"""rkt gives a pod's times in seconds and those of its apps in nanoseconds; a time above this is of the second kind."""
FULL_HASH = re.compile(r"^sha512-[0-9a-f]{64}\s*$", re.MULTILINE)

ADVICE: tuple[tuple[str, str], ...] = (
    ("cannot run as unprivileged user", "rkt has to be run by root: set the machine up again (make host)"),
    ("permission denied", "rkt has to be run by root: set the machine up again (make host)"),
    (r"signature verification for docker images|\.asc: no such file", "the image is not signed, and was not fetched"),
    (
        "discovery failed",
        "no image of that name is in rkt's store, and its host tells no place to fetch it from. Name a registry "
        "(docker://HOST/NAME:TAG), the path or URL of an .aci file, or fetch it as root with rkt fetch",
    ),
    ("attempted fallback to API v1", "the registry has no such image or tag"),
    ("gave HTTP response to HTTPS client", "the registry does not speak TLS, which only one on this machine may"),
    ("connection refused|no such host|timeout|unreachable", "the registry cannot be reached"),
    ("unauthorized|status code 401", "the registry wants credentials: /etc/rkt/auth.d"),
    ("Unable to open|can't execute|error looking up", "the program is not in the image"),
    ("no such file or directory|Failed to stat", "there is no such file on this host"),
    ("invalid image string|invalid port|malformed app string", "rkt does not take such a name"),
    (
        "no image IDs found|cannot find aci|rkt has no image",
        "the image is not in rkt's store: prepare the version again",
    ),
    (
        "error setting up stage1: invalid argument",
        "the file system of /var/lib/rkt cannot carry an overlay: put it on a disk",
    ),
    ("cannot get configuration", "a file in /etc/rkt or /usr/lib/rkt is damaged: rkt config says which"),
    ("no space left on device", "the disk of /var/lib/rkt is full: df, and rkt image list"),
)
"""Patterns of what rkt says, and what it means; the first that fits."""


@dataclass(eq=False)
class RktFailed(DeployError):
    """rkt, or what ran in its pod, ended with another exit code than 0. ``tail``: its last lines."""

    code: int
    tail: str

    def __str__(self) -> str:
        means = advice(self.tail)
        return f"rkt ended with exit code {self.code}{f' ({means})' if means else ''}. Its last lines:\n{self.tail}"


@dataclass(eq=False)
class RktImageRefused(ImageRefused):
    """rkt did not fetch an image. ``reason``: what it said."""

    def __str__(self) -> str:
        means = advice(self.reason)
        return f"rkt could not fetch the image {self.image}: {self.reason}{f' ({means})' if means else ''}."


@dataclass(eq=False)
class ImageStays(DeployError):
    """rkt says that it removed an image (it always does), and still has it."""

    image_id: str

    def __str__(self) -> str:
        return (
            f"rkt did not remove the image {self.image_id}. See what holds it: rkt image rm {self.image_id}, as root."
        )


@dataclass(eq=False)
class AnswerUnknown(DeployError):
    """rkt succeeded, and printed something else than rkt 1.30 does."""

    asked: str
    answer: str

    def __str__(self) -> str:
        return f"rkt answered {self.asked} with {self.answer!r}. Is it version 1.30 (rkt version)?"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in rkt's store. ``name``: with its version; a docker registry's port is after ``_``, not ``:``.
    ``imported``: nanoseconds since 1970."""

    id: str
    name: str
    imported: int


@dataclass(frozen=True, slots=True)
class App:
    """What runs, or ran, in a pod. ``started``: seconds since 1970."""

    name: str
    state: str
    image_id: str
    exit_code: int | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True)
class RktPod:
    """A pod that rkt knows, until it is removed. ``state``: running, exited, prepared, "exited garbage", …"""

    uuid: str
    state: str
    apps: tuple[App, ...] = ()
    addresses: tuple[str, ...] = ()
    created: float | None = None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


def advice(said: str) -> str:
    """'' if nothing is known about it."""
    return next((means for pattern, means in ADVICE if re.search(pattern, said)), "")


def fetched_hash(printed: str) -> str | None:
    """What ``rkt fetch --full`` says last; progress of the download comes before. None: no hash."""
    found = FULL_HASH.findall(printed)
    return found[-1].strip() if found else None


def read_images(printed: str) -> list[Image]:
    """``rkt image list --format=json``, the oldest first. Raises AnswerUnknown."""
    try:
        return [
            Image(str(item["id"]), str(item.get("name", "")), int(item.get("import_time", 0)))
            for item in _items(printed)
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AnswerUnknown("rkt image list --format=json", printed[:200]) from None


def read_pods(printed: str) -> list[RktPod]:
    """``rkt list --format=json``. Raises AnswerUnknown."""
    try:
        return [_pod(item) for item in _items(printed)]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AnswerUnknown("rkt list --format=json", printed[:200]) from None


def _items(printed: str) -> list[dict[str, Any]]:
    """An empty list is ``null`` with rkt."""
    return json.loads(printed) or []


def _pod(item: dict[str, Any]) -> RktPod:
    return RktPod(
        uuid=str(item["name"]),
        state=str(item["state"]),
        apps=tuple(_app(app) for app in item.get("apps") or ()),
        addresses=tuple(str(network["ip"]) for network in item.get("networks") or () if network.get("ip")),
        created=_seconds(item.get("created_at")),
    )


def _app(item: dict[str, Any]) -> App:
    return App(
        name=str(item["name"]),
        state=str(item.get("state", "unknown")),
        image_id=str(item.get("image_id", "")),
        exit_code=item.get("exit_code"),
        started=_seconds(item.get("started_at")),
    )


def _seconds(value: int | None) -> float | None:
    if value is None:
        return None
    return value / 1e9 if value >= NANOSECONDS_FROM else float(value)
