"""The objects of the control plane, one file each."""

from instances.models.backup import Backup
from instances.models.blob import Blob
from instances.models.domain import Domain
from instances.models.host import Host
from instances.models.instance import Instance
from instances.models.operation import Operation, OperationStep
from instances.models.version import Version

__all__ = ["Backup", "Blob", "Domain", "Host", "Instance", "Operation", "OperationStep", "Version"]
