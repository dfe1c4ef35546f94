"""What openslides_domains.service made of the domains, as it writes it for the control plane."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one domain. ``digest``: of the file that was read, '' if it could not be read at all."""

    digest: str
    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of all of them.

    ``loaded``: which configuration nginx was told to load, '' if none. ``problem``: what kept every domain from
    being served, '' if nothing did. ``domains``: by id.
    """

    loaded: str
    problem: str
    domains: Mapping[str, Outcome]

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


NOTHING = Result("", "", {})


def read_result(path: Path) -> Result:
    """NOTHING, where there is none (after a boot) or it is another release's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        domains = {str(key): Outcome(**value) for key, value in found["domains"].items()}
        return Result(str(found["loaded"]), str(found["problem"]), domains)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NOTHING
