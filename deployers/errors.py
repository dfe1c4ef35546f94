"""What can go wrong on a host. Every message tells an operator what to do next."""

from __future__ import annotations

from dataclasses import dataclass


class DeployError(Exception):
    """A step could not be done; the text is for the operator."""


@dataclass(eq=False)
class CommandFailed(DeployError):
    """A command ended with an exit code other than 0. ``tail``: the last lines that it printed."""

    program: str
    code: int
    tail: str

    def __str__(self) -> str:
        how = f"was ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"
        return f"{self.program} {how}. Its last lines:\n{self.tail or '(it printed nothing)'}"


@dataclass(eq=False)
class DumpRefused(CommandFailed):
    """pg_restore, or PostgreSQL, refuses what is in a dump; not: it could not do its work."""


@dataclass(eq=False)
class CommandTimedOut(DeployError):
    """A command ran longer than it may and was ended."""

    program: str
    seconds: float
    tail: str

    def __str__(self) -> str:
        return (
            f"{self.program} was ended after {self.seconds:.0f} s without coming to an end. "
            f"Its last lines:\n{self.tail or '(it printed nothing)'}"
        )


@dataclass(eq=False)
class CommandMissing(DeployError):
    """A program that a step needs is not installed."""

    program: str

    def __str__(self) -> str:
        return f"The program {self.program} is not installed on this host (or not in PATH). Install it and try again."


@dataclass(eq=False)
class NotPrepared(DeployError):
    """The version has no usable preparation on this host."""

    version: str
    missing: str

    def __str__(self) -> str:
        return (
            f"OpenSlides {self.version} is not prepared on this host ({self.missing} is missing). "
            "Prepare the version, then try again."
        )


@dataclass(eq=False)
class UnknownImage(DeployError):
    """The engine does not know what to do with the version's image."""

    image: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"This engine cannot prepare the image {self.image!r}. It knows: {', '.join(self.known)}."


@dataclass(eq=False)
class PortTaken(DeployError):
    """Another program listens on the instance's port."""

    port: int

    def __str__(self) -> str:
        return (
            f"Port {self.port} is used by another program. End that program (ss -ltnp 'sport = :{self.port}' names it) "
            "or start the instance again, which looks for a free port."
        )


@dataclass(eq=False)
class NotReady(DeployError):
    """The instance's service runs, or ran, and never answered as it should. ``log``: the end of its log."""

    seconds: float
    reason: str
    log: str

    def __str__(self) -> str:
        return (
            f"OpenSlides did not answer within {self.seconds:.0f} s ({self.reason}). "
            f"The last lines of the instance's log:\n{self.log or '(the log is empty)'}"
        )


@dataclass(eq=False)
class ServiceManagerUnreachable(DeployError):
    """The service manager (supervisord, systemd) does not answer."""

    address: str
    reason: str

    def __str__(self) -> str:
        return (
            f"The service manager at {self.address} does not answer: {self.reason}. Is the product running (make run)?"
        )


@dataclass(eq=False)
class PythonUnsuitable(DeployError):
    """The interpreter cannot make an environment for OpenSlides."""

    interpreter: str
    version: str
    needed: str

    def __str__(self) -> str:
        return (
            f"{self.interpreter} is Python {self.version}; OpenSlides' packages are locked for Python {self.needed}. "
            f"Run the product with python{self.needed}."
        )


@dataclass(eq=False)
class VenvUnusable(DeployError):
    """python -m venv failed. On Debian this is nearly always the missing package python3-venv."""

    tail: str

    def __str__(self) -> str:
        return (
            "Python cannot make virtual environments on this host. On Debian and Ubuntu: apt-get install python3-venv, "
            f"then prepare the version again. What Python said:\n{self.tail}"
        )


@dataclass(eq=False)
class PreparationBroken(DeployError):
    """What was installed is not what the image asks for, or the template database lacks something."""

    version: str
    reason: str

    def __str__(self) -> str:
        return f"The preparation of OpenSlides {self.version} is not usable: {self.reason}. Prepare the version again."


@dataclass(eq=False)
class RowMissing(DeployError):
    """A row that every OpenSlides database has is not there (or there twice)."""

    table: str
    where: str
    rows: int

    def __str__(self) -> str:
        return (
            f"The database has {self.rows} rows in {self.table} with {self.where}, where there must be exactly one. "
            "The template database of this version is damaged: prepare the version again, then try again."
        )


@dataclass(eq=False)
class DatabaseUnusable(DeployError):
    """The database could not be read or written. ``damaged``: because of what is in it, and not of where it lies."""

    database: str
    reason: str
    damaged: bool = False

    def __str__(self) -> str:
        return f"The database {self.database} cannot be used: {self.reason}. Check free disk space and permissions."


@dataclass(eq=False)
class UsernameTaken(DeployError):
    """The local administrator has the name of another account of the new instance."""

    username: str

    def __str__(self) -> str:
        return (
            f"The user name {self.username!r} is already used in the instance (OpenSlides' own superadmin is 'admin'). "
            "Choose another name for the local administrator."
        )


@dataclass(eq=False)
class InstanceMissing(DeployError):
    """The instance's files are not on this host."""

    instance_id: str
    missing: str

    def __str__(self) -> str:
        return (
            f"Instance {self.instance_id} has no {self.missing} on this host, so it cannot be run. "
            "Bring its directory back from a backup of the data directory, or remove the instance and add it again."
        )


@dataclass(eq=False)
class UnknownDatabase(DeployError):
    """The host has no database server of the kind that the instance asks for."""

    key: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"This host has no database {self.key!r}. It has: {', '.join(self.known)}."


@dataclass(eq=False)
class UnusablePath(DeployError):
    """A path cannot be used for what it is needed for."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be used: {self.reason}. Choose another DATA_DIR."


@dataclass(eq=False)
class ServiceRefused(DeployError):
    """The service manager answered, and refused."""

    service: str
    reason: str

    def __str__(self) -> str:
        return (
            f"The service manager refused {self.service}: {self.reason}. Its own log (log/supervisord.log) says more."
        )


@dataclass(eq=False)
class DataOfOtherRelease(DeployError):
    """The instance's data belongs to another OpenSlides than the one that shall run: an update was not undone."""

    instance_id: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return (
            f"The data of instance {self.instance_id} belongs to OpenSlides {self.found}, so OpenSlides {self.wanted} "
            f"is not started with it: an update was interrupted and could not be undone. Update it to {self.found}. "
            "The data from before is in the directory previous/ of the instance."
        )


@dataclass(eq=False)
class ImageRefused(DeployError):
    """A container image could not be fetched. ``reason``: what the engine said."""

    image: str
    reason: str

    def __str__(self) -> str:
        return (
            f"The image {self.image} could not be fetched: {self.reason or 'no reason was given'}. Check its name, the "
            "network, and the registry's credentials; then prepare the version again."
        )


@dataclass(eq=False)
class UnknownEngine(DeployError):
    """The host has no engine of the kind that the version asks for."""

    key: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"This host has no engine {self.key!r}. It has: {', '.join(self.known)}."


@dataclass(eq=False)
class ServiceFailed(DeployError):
    """systemd could not start or stop the instance's units. ``reason``: what it said."""

    unit: str
    reason: str

    def __str__(self) -> str:
        return f"systemd: {self.unit}: {self.reason}. More is said by: systemctl status {self.unit}"


@dataclass(eq=False)
class HostNotSetUp(DeployError):
    """A file that the set-up of a production host makes is missing or damaged."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file} cannot be used ({self.reason}). Set the machine up: sudo make host (docs/production.md)."


@dataclass(eq=False)
class DatabaseServerUnusable(DeployError):
    """PostgreSQL does not answer, or refuses. ``reason``: what it says. ``damaged``: because of what is in it."""

    database: str
    reason: str
    damaged: bool = False

    def __str__(self) -> str:
        return (
            f"PostgreSQL, database {self.database}: {self.reason.rstrip('.')}. Check that it runs (systemctl status "
            "postgresql) and has room (df), then try again."
        )


@dataclass(eq=False)
class CacheUnusable(DeployError):
    """Redis does not answer, or refuses. ``reason``: what it says."""

    socket: str
    reason: str

    def __str__(self) -> str:
        return (
            f"Redis at {self.socket}: {self.reason.rstrip('.')}. Check that it runs "
            "(systemctl status redis-server@openslides), then try again."
        )


@dataclass(eq=False)
class StoreFailed(DeployError):
    """The backup store cannot be used; ``reason`` says why."""

    reason: str

    def __str__(self) -> str:
        return f"The backup store cannot be used: {self.reason}."


class ArchiveUnusable(DeployError):
    """The archive itself is no good, wherever and whenever one tries."""


@dataclass(eq=False)
class ArchiveMissing(ArchiveUnusable):
    """There is no such archive in the backup store."""

    name: str

    def __str__(self) -> str:
        return f"There is no backup {self.name} in the backup store."


@dataclass(eq=False)
class ArchiveDamaged(ArchiveUnusable):
    """An archive is not what was written."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"The backup {self.name} is damaged: {self.reason}. Use another one."


@dataclass(eq=False)
class ArchiveUnfit(ArchiveUnusable):
    """An archive holds something else than what was asked for; ``reason`` says what."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"The backup {self.name} cannot be used here: {self.reason}."


@dataclass(eq=False)
class SourceChanged(DeployError):
    """A file became shorter while it was backed up."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} changed while it was read. Ask for the backup again."


@dataclass(eq=False)
class TooManyFiles(DeployError):
    """An instance has more uploaded files than an archive can hold."""

    files: int

    def __str__(self) -> str:
        return f"{self.files} files are more than a backup can hold. Remove some of the uploaded files."


@dataclass(eq=False)
class NoRoom(DeployError):
    """A disk is too full. Sizes in bytes."""

    place: str
    free: int
    needed: int

    def __str__(self) -> str:
        return (
            f"There is not enough room in {self.place}: {self.free / 1e6:.0f} MB are free, and "
            f"{self.needed / 1e6:.0f} MB are needed. Make room, or give it a larger disk."
        )


@dataclass(eq=False)
class Unhealthy(DeployError):
    """OpenSlides answers, and is not well; ``reason`` says why."""

    reason: str

    def __str__(self) -> str:
        return f"OpenSlides is not well after the change: {self.reason}."
