"""Which major version's file knows a release of OpenSlides."""

from __future__ import annotations

from dataclasses import dataclass

from deployers.errors import DeployError
from deployers.openslides.profile import Profile
from deployers.openslides.v2 import OpenSlides2
from deployers.openslides.v3 import OpenSlides3

PROFILES: dict[str, Profile] = {"2": OpenSlides2(), "3": OpenSlides3()}


@dataclass(eq=False)
class UnsupportedRelease(DeployError):
    """No profile for this OpenSlides."""

    release: str

    def __str__(self) -> str:
        return f"OpenSlides {self.release} is not supported. Supported are 2.x and 3.x: choose another image."


def profile_for(release: str) -> Profile:
    """The profile of an OpenSlides release, say "3.3". Raises UnsupportedRelease."""
    try:
        return PROFILES[release.partition(".")[0]]
    except KeyError:
        raise UnsupportedRelease(release) from None
