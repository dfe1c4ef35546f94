#!/usr/bin/env python
"""Django's command line for the control plane."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "multiinstance.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import ManagementUtility

    try:
        settings.DATA_DIR  # noqa: B018 - reads the settings, so that a wrong one is an error and not a traceback
    except ImproperlyConfigured as error:
        sys.exit(f"Error: {error}")
    utility = ManagementUtility(sys.argv)
    if sys.argv[1:2] == ["version"] and len(sys.argv) > 2:
        # ManagementUtility.execute() takes this word for Django's own version, before it looks for a command.
        import django

        django.setup()
        utility.fetch_command("version").run_from_argv(sys.argv)
    else:
        utility.execute()


if __name__ == "__main__":
    main()
