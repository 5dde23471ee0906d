"""What machines are asked and what they answer, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

from reconciler.model.errors import Unreachable
from reconciler.model.secret import Secret
from reconciler.model.value import JSON
from reconciler.systems.dialogue import Question


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as it is. ``owner`` and ``group`` are names, or numbers where there is no name; ``mode`` is octal (``0600``).

    ``uid`` and ``gid`` are the numbers in any case.

    ``content`` is None when it could not be read, and ``why`` says why. ``special`` says what it is when it is no regular file; it is not read then.
    ``witness`` changes whenever the file is written: inode, size in bytes, and time of modification in ns.
    """

    content: bytes | None
    owner: str
    group: str
    mode: str
    witness: tuple[int, int, int]
    uid: int
    gid: int
    why: str = ""
    special: str = ""


@dataclass(frozen=True, slots=True)
class FolderState:
    """A folder, or what stands in its place (``special``, empty for a folder). ``entries`` are the names in it, sorted."""

    owner: str
    group: str
    mode: str
    uid: int
    gid: int
    entries: tuple[str, ...] = ()
    special: str = ""


@dataclass(frozen=True, slots=True)
class UserState:
    """An account: its number, its primary group (a name, or a number where there is none), home and login shell."""

    uid: int
    group: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group: its number, the accounts whose primary group it is, and those that are members of it besides."""

    gid: int
    members: tuple[str, ...] = ()
    primary_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit, in systemd's own words: ``load`` (loaded, not-found, masked, …), ``active`` (active, inactive, failed, activating),
    ``sub``, ``enabled`` (enabled, disabled, masked, static, …), ``file`` (its FragmentPath, empty when there is none), ``drop_ins`` (further files),
    ``result`` of its last run. ``needs_reload``: a file of it was changed since systemd read it. ``restarts``: how often systemd has
    started it again by itself since somebody started it.
    """

    load: str
    active: str
    sub: str
    enabled: str
    file: str
    drop_ins: tuple[str, ...] = ()
    result: str = ""
    needs_reload: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is to be known of a machine, all of it in one round trip; ``one | other`` asks both.

    ``files`` with their content, ``folders`` with the names in them, accounts and groups by name, ``units`` by full name, installed ``packages``,
    ``programs`` (name or path, and the argument that makes it tell its version), what waits in the folder ``pending`` (``*.sh``), and
    on which TCP ``ports`` something listens.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    programs: frozenset[tuple[str, str]] = frozenset()
    pending: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    def __or__(self, other: Inquiry) -> Inquiry:
        return Inquiry(*(getattr(self, f.name) | getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Facts:
    """The answers: what is absent is not in the mappings.

    ``packages``: the version of what is installed. ``programs``: what each one printed, empty when it is there and failed. ``pending``: the names
    found. ``listening``: the ports. ``has_systemd``: whether the machine was booted with it; without, there are no units.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    folders: Mapping[str, FolderState] = field(default_factory=dict)
    users: Mapping[str, UserState] = field(default_factory=dict)
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    pending: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listening: frozenset[int] = frozenset()
    has_systemd: bool = False


class Agent(Protocol):
    """The Consul agent on a machine, as far as it is asked about itself (:class:`~reconciler.systems.consul.agent_services.AgentServices`)."""

    def services(self) -> dict[str, JSON]:
        """The services registered with it, by ID."""
        ...

    def checks(self) -> dict[str, JSON]:
        """Their checks, by ID."""
        ...

    def register(self, body: JSON, token: Secret) -> None:
        """Add or replace one, with its own token."""
        ...

    def deregister(self, service_id: str) -> None:
        """Remove one."""
        ...

    def lacks_of_member(self, node: str) -> str:
        """What ``node`` lacks, in words, to be a member of the mesh in which all can reach it; empty when it is one."""
        ...


@dataclass(frozen=True, slots=True)
class NoAgent:
    """In the place of an agent, on a machine that is not asked for it."""

    host: str

    def services(self) -> dict[str, JSON]:
        """None can be told."""
        raise Unreachable(f"host {self.host} has no Consul agent that is known")

    def checks(self) -> dict[str, JSON]:
        """None can be told."""
        return self.services()

    def register(self, body: JSON, token: Secret) -> None:
        """It cannot be done."""
        del body, token
        self.services()

    def deregister(self, service_id: str) -> None:
        """It cannot be done."""
        del service_id
        self.services()

    def lacks_of_member(self, node: str) -> str:
        """It cannot be told."""
        del node
        return str(self.services())


class Host(Protocol):
    """What a machine must answer. ``name`` is its name in the manifest, ``agent`` its Consul agent."""

    name: str
    agent: Agent

    @property
    def identity(self) -> str:
        """Its machine-id: 32 hex digits. Raises a SystemFault when it has none."""
        ...

    def inquire(self, inquiry: Inquiry) -> Facts:
        """All that ``inquiry`` asks, in one round trip. Raises a SystemFault for what could not be found out: nothing is absent by mistake."""
        ...

    def read(self, paths: Iterable[str]) -> Mapping[str, FileState]:
        """The files that exist. Raises AccessDenied when it may not even be seen whether one exists."""
        ...

    def write(
        self, path: str, content: Secret | bytes, *, owner: str | None, group: str | None, mode: str, exclusive: bool = False,
        replacing: Sequence[int] | None = None,
    ) -> FileState:  # fmt: skip
        """Put ``content`` at ``path``, whole; the file as it is then, without its content.

        ``owner`` or ``group`` None leaves them to the system. ``exclusive``: raises AlreadyExists when there is something. ``replacing``: raises
        LostRace when what is there has not this witness. Raises Rejected or AccessDenied, before anything is written, for what cannot be done.
        """
        ...

    def remove(self, path: str, *, replacing: Sequence[int] | None = None) -> None:
        """Remove the file, and what a killed run left beside it; what is gone already is no error. ``replacing`` as in :meth:`write`."""
        ...

    def run(self, script: str, *arguments: str, timeout_s: float = ...) -> str:
        """Run a script of the POSIX shell, with its positional parameters; what it printed.

        It ends with status 0, or says on its standard error what was wrong (:data:`~reconciler.systems.host.shell.FAULTS`). Arguments are seen by
        everybody on the machine: no secrets. Raises a SystemFault; OutcomeUnknown when the connection was lost meanwhile.
        """
        ...

    def converse(self, script: str, *arguments: str, questions: Sequence[Question], to_ask_s: float, to_end_s: float) -> str:
        """Run a script on a terminal that nobody sees, and answer its questions; what it wrote, without the secrets among the answers.

        It ends as in :meth:`run`. Raises Unreachable when it asks nothing for ``to_ask_s``, OutcomeUnknown when it does not end within ``to_end_s``
        of the last answer or the connection was lost.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...
