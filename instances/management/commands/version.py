"""``manage.py version``: add, list and prepare versions of OpenSlides."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.db.models import Count, Q

from instances import operations
from instances.choices import Engine
from instances.console import REQUEST, ConsoleCommand, add_common, find_version
from instances.errors import OperationRunning
from instances.models import Version


class Command(ConsoleCommand):
    help = "Add, list or prepare versions of OpenSlides."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        add = actions.add_parser("add", help="register a version")
        add.add_argument("name", help="begins with the OpenSlides release: 3.3")
        add.add_argument("--image", help="where it comes from (default: pypi:openslides==NAME)")
        add.add_argument("--engine", choices=Engine.values, default=Engine.VIRTUALENV)
        add.add_argument("--default", action="store_true", help="preselect it for new instances")
        add_common(add)

        add_common(actions.add_parser("list", help="list the versions"))

        prepare = actions.add_parser("prepare", help="prepare a version on the host, so that instances are made fast")
        prepare.add_argument("name", help="the version's name")
        add_common(prepare, waits=True)

    def do_add(self, name: str, image: str | None, engine: str, default: bool, **options: Any) -> None:
        version = Version(name=name, image=image or f"pypi:openslides=={name}", engine=engine)
        version.full_clean()
        with transaction.atomic():
            if default:
                # Saved, not updated, so that the log says who took the mark from it.
                for other in Version.objects.filter(default=True):
                    other.default = False
                    other.save(update_fields=["default"])
                version.default = True
            version.save()
        if options["json"]:
            self.print_json(version_document(version))
        else:
            self.stdout.write(f"{version} is registered. Prepare it: manage.py version prepare {version.name}")

    def do_list(self, **options: Any) -> None:
        versions = Version.objects.annotate(used=Count("instances", filter=Q(instances__removed_at=None)))
        if options["json"]:
            self.print_json([version_document(version) for version in versions])
        elif not versions:
            self.stdout.write("There is no version. Add one: manage.py version add 3.3 --default")
        else:
            self.print_table(
                ("VERSION", "IMAGE", "PREPARATION", "INSTANCES", ""),
                (
                    (
                        version.name,
                        version.image,
                        version.get_preparation_display(),
                        str(version.used),
                        ", ".join(
                            word for word, on in (("default", version.default), ("disabled", not version.enabled)) if on
                        ),
                    )
                    for version in versions
                ),
            )

    def do_prepare(self, name: str, **options: Any) -> None:
        try:
            operation = operations.prepare(find_version(name), REQUEST)
        except OperationRunning as refused:
            if not options["wait"]:
                raise
            operation = refused.running  # what is wanted is under way
        self.follow(operation, wait=options["wait"], timeout=options["timeout"], as_json=options["json"])


def version_document(version: Version) -> dict[str, Any]:
    """A version as the commands print it."""
    return {
        "name": version.name,
        "image": version.image,
        "engine": version.engine,
        "default": version.default,
        "enabled": version.enabled,
        "preparation": version.preparation,
    }
