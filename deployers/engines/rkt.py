"""Engine ``rkt``: being written."""

from __future__ import annotations

from deployers.layout import SystemdLayout


class Rkt:
    """See the module."""

    names_move = True

    def __init__(self, layout: SystemdLayout, instance_uid: int, timeout: float = 900.0) -> None:
        self.layout = layout
        self.instance_uid = instance_uid
        self.timeout = timeout
