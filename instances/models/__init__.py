"""The objects of the control plane, one file each."""

from instances.models.backup import Backup
from instances.models.blob import Blob
from instances.models.domain import Domain
from instances.models.host import Host
from instances.models.instance import Instance
from instances.models.lock import ActionLock
from instances.models.operation import Operation, OperationStep
from instances.models.orphan import Orphan
from instances.models.rollout import Rollout, RolloutItem
from instances.models.state_change import StateChange
from instances.models.token import ApiToken
from instances.models.version import Version

__all__ = [
    "ActionLock",
    "ApiToken",
    "Backup",
    "Blob",
    "Domain",
    "Host",
    "Instance",
    "Operation",
    "OperationStep",
    "Orphan",
    "Rollout",
    "RolloutItem",
    "StateChange",
    "Version",
]
