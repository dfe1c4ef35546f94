"""Filing operations: the one door through which admin, API, commands and the system ask for something.

Filing checks that it makes sense, writes the row and what is wanted from now on, and sends the task
after the commit. If the message is lost, the periodic look finds the row (see ``looks.py``).
"""

from instances.operations.backups import backup, bring_back, clone, restore, verify
from instances.operations.ending import begin_due, begin_now, cancel, permission_to_begin
from instances.operations.filing import SYSTEM, Request
from instances.operations.life import (
    check_update,
    create,
    permission_to_try_again,
    purge,
    remove,
    run_as_set,
    send_test_mail,
    start,
    stop,
    try_again,
    update,
)
from instances.operations.versions import discard, prepare

__all__ = [
    "SYSTEM",
    "Request",
    "backup",
    "begin_due",
    "begin_now",
    "bring_back",
    "cancel",
    "check_update",
    "clone",
    "create",
    "discard",
    "permission_to_begin",
    "permission_to_try_again",
    "prepare",
    "purge",
    "remove",
    "restore",
    "run_as_set",
    "send_test_mail",
    "start",
    "stop",
    "try_again",
    "update",
    "verify",
]
