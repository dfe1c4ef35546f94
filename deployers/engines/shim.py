"""Makes OpenSlides' old libraries run on Python 3.11.

They use names that Python 3.10 and 3.11 took away. A ``.pth`` file imports a module at every start of that one
virtual environment (site, "path configuration file"; sitecustomize would hide Debian's own).
"""

from __future__ import annotations

import compileall
from pathlib import Path

MODULE = "openslides_python311"

SOURCE = '''\
"""Names that Python 3.10 and 3.11 took away and OpenSlides' libraries still use."""

import collections
import collections.abc
import gettext

# Python 3.10 removed the aliases of the abstract base classes.
for _name in collections.abc.__all__:
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))

# Python 3.11 removed what gave translations as bytes in a character set; Django before 3 passes "utf-8".
_translation = gettext.translation


def _translation_without_codeset(
    domain, localedir=None, languages=None, class_=None, fallback=False, codeset=None
):
    return _translation(domain, localedir, languages, class_, fallback)


gettext.translation = _translation_without_codeset
if not hasattr(gettext.NullTranslations, "set_output_charset"):
    gettext.NullTranslations.set_output_charset = lambda self, charset: None
'''


def install(site_packages: Path) -> None:
    """Put the module and the file that imports it into a virtual environment."""
    module = site_packages / f"{MODULE}.py"
    module.write_text(SOURCE, encoding="utf-8")
    compileall.compile_file(module, quiet=2)
    (site_packages / f"{MODULE}.pth").write_text(f"import {MODULE}\n", encoding="utf-8")
