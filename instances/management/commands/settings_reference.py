"""``manage.py settings_reference``: docs/settings.md, made of the declarations in multiinstance/configuration.py."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from multiinstance.configuration import SETTINGS, Setting

HEAD = """# Settings

Made of `multiinstance/configuration.py` by `make docs`; change it there.

Every setting is an environment variable, or a line in the file `.env` in the checkout. All have a default with which
`make run` works.
"""


class Command(BaseCommand):
    help = "Print docs/settings.md, or check that a file is up to date."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", metavar="FILE", type=Path, help="exit with 1 unless the file is up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        text = reference()
        if options["check"] is None:
            self.stdout.write(text, ending="")
        elif options["check"].read_text(encoding="utf-8") != text:
            raise CommandError(f"{options['check']} is not up to date. Run: make docs")


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [HEAD]
    for section, settings in groupby(SETTINGS, key=lambda setting: setting.section):
        parts.append(f"\n## {section}\n\n| setting | default | meaning |\n|---|---|---|\n")
        parts += [f"| `{setting.name}` | {default_of(setting)} | {setting.meaning} |\n" for setting in settings]
    return "".join(parts)


def default_of(setting: Setting) -> str:
    if setting.default_text:
        return setting.default_text
    if isinstance(setting.default, list):
        return f"`{','.join(setting.default)}`" if setting.default else "(none)"
    return f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"
