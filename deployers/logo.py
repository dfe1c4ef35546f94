"""Puts an instance's logo where the projector of its OpenSlides looks for it."""

from __future__ import annotations

import json
from pathlib import Path

from deployers.databases.database import Database
from deployers.files import copy_private, make_private_directory
from deployers.openslides import shared
from deployers.openslides.profile import Logo


def place_logo(image: Path | None, logo: Logo, static: Path, database: Database) -> None:
    """Show ``image``, a PNG, or take away the one that was placed before (``None``).

    A logo that the instance's own users have chosen in OpenSlides stays. The instance must not run:
    OpenSlides 3 would not see the change. Raises DatabaseUnusable, OSError.
    """
    target = static / logo.file
    if image is None:
        if not target.exists():
            return
        target.unlink()
    else:
        make_private_directory(target.parent)
        copy_private(image, target)
    if logo.config_key is None:
        return
    values = {str(key): str(value) for key, value in database.rows(shared.CONFIG_TABLE, ("key", "value"))}
    value = json.loads(values[logo.config_key])
    wanted = "" if image is None else logo.url
    if value["path"] in ("", logo.url) and value["path"] != wanted:
        database.apply([shared.config_row(logo.config_key, value | {"path": wanted})])
