"""Loaded before Django's settings (``-p tests.isolation``): tests see a data directory of their own and no ``.env``.

Short, because a unix socket lies in it: its path has 107 bytes at most (unix(7)).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from multiinstance.configuration import SETTINGS

_ours = {"DATABASE_URL"}
for _setting in SETTINGS:
    if _setting.name not in _ours:
        os.environ.pop(_setting.name, None)
# Of a make that runs the tests beside others: one that a test calls would look for its job server.
for _name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(_name, None)
_data_dir = tempfile.mkdtemp(prefix="mi-test-")
os.environ["DATA_DIR"] = _data_dir
os.mkdir(os.path.join(_data_dir, "static"))
os.environ["ENV_FILE"] = os.devnull
os.environ["DJANGO_SETTINGS_MODULE"] = "multiinstance.settings"
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
