"""Another node of the mesh: what there is on it, and the archive, which is put there as it is (docs/credentials.md).

A set-up that was begun leaves a mark beside the archive until the machine has become a member (:mod:`~reconciler.credentials.joining`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.credentials.node import ARCHIVE
from reconciler.credentials.sources import digest_of
from reconciler.model.errors import Rejected
from reconciler.systems.host import Facts, FileState, Host, Inquiry

FOLDER: Final = str(ARCHIVE.parent)
HOME: Final = "/var/lib/service-discover"
UNIT: Final = "service-discover"
PROGRAM: Final = "service-discover"
MARK: Final = f"{ARCHIVE.name}.set-up-begun"
"""The name of the mark."""

_MAIN: Final = "main.json"
_BIND: Final = f"{FOLDER}/config.json"
_MARK_FILE: Final = f"{FOLDER}/{MARK}"
_EVERY: Final = ("0.0.0.0", "::", "")  # noqa: S104  # where an agent listens, not where we do
_OWNER: Final = "root"
_MODE: Final = "0600"
ACCESS: Final = f"{_MODE} {_OWNER}:{_OWNER}"
"""Who may read an archive: mode, owner and group."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the mark of a set-up says: the digest of the archive that it was begun with, and its status; None as long as it has not ended, or was
    killed.
    """

    archive: str = ""
    status: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether set-up says itself that it has done all its work: then nothing of that is ever removed."""
        return self.status == 0


@dataclass(frozen=True, slots=True)
class NodeState:
    """What there is on a machine. ``has_configuration``: that which set-up writes, main.json. ``mark``: that of a set-up of ours after which it was
    not seen as a member yet. ``bound_to``: what its agent's configuration says, empty where that says nothing; ``addresses`` those that it has.
    """

    archive: FileState | None
    has_configuration: bool
    mark: Mark | None
    has_folder: bool
    has_program: bool
    bound_to: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def is_set_up(self) -> bool:
        """Whether it is left as it is."""
        return self.has_configuration and self.mark is None

    @property
    def digest(self) -> str:
        """That of its archive; empty where there is none, or none that can be read."""
        return digest_of(self.archive.content) if self.archive is not None and self.archive.content is not None else ""

    @property
    def access(self) -> str:
        """Who may read its archive, as :data:`ACCESS`; empty where there is none."""
        return f"{self.archive.mode} {self.archive.owner}:{self.archive.group}" if self.archive is not None else ""

    @property
    def lacks_of_address(self) -> str:
        """Why it cannot be told by itself what its agent shall bind to; empty when it can."""
        if self.bound_to or len(self.addresses) == 1:
            return ""
        return f"several addresses ({', '.join(self.addresses)})" if self.addresses else "no address"


def asked() -> Inquiry:
    """What must be known of a machine."""
    files, programs = frozenset({str(ARCHIVE), _BIND, _MARK_FILE}), frozenset({(PROGRAM, "version"), ("hostname", "-I")})
    return Inquiry(files=files, folders=frozenset({FOLDER}), programs=programs)


def told(facts: Facts) -> NodeState:
    """The answer."""
    folder = facts.folders.get(FOLDER)
    names = folder.entries if folder is not None else ()
    has_folder = folder is not None and not folder.special
    return NodeState(
        facts.files.get(str(ARCHIVE)), _MAIN in names, _read(facts.files.get(_MARK_FILE)), has_folder, PROGRAM in facts.programs,
        _bound_to(facts.files.get(_BIND)), _own(facts.programs.get("hostname", "")),
    )  # fmt: skip


def look(host: Host) -> NodeState:
    """Ask one machine. Raises a SystemFault."""
    return told(host.inquire(asked()))


def put_archive(host: Host, sealed: bytes, path: str = str(ARCHIVE), *, seen: FileState | None) -> FileState:
    """Write the archive as it is, for root alone, in the place of ``seen``. Raises a SystemFault; LostRace when something else came to be there."""
    replacing = seen.witness if seen is not None else None
    return host.write(path, sealed, owner=_OWNER, group=_OWNER, mode=_MODE, exclusive=seen is None, replacing=replacing)


def differs(seen: FileState | None, sealed: bytes) -> str:
    """In what the file at the archive's place is not as it should be, in words; empty for nothing."""
    if seen is None:
        return "it is not there"
    if seen.special:
        return f"it is {seen.special}"
    if seen.content is None:
        return seen.why
    access = f"{seen.mode} {seen.owner}:{seen.group}"
    return "it is another one" if seen.content != sealed else "" if access == ACCESS else f"it is {access}"


def own_address(name: str, state: NodeState, remembered: str = "") -> str:
    """The address that the agent of the machine ``name`` has or had, or else its only one. Raises Rejected when it has several, or none."""
    if not remembered and state.lacks_of_address:
        raise Rejected(f"{name} has {state.lacks_of_address}: write address: into its entry")
    return state.bound_to or remembered or state.addresses[0]


def _read(seen: FileState | None) -> Mark | None:
    """The mark in a file; what is no plain file was not made by us."""
    if seen is None or seen.special:
        return None
    archive, _, status = (seen.content or b"").decode("ascii", "replace").partition("\n")
    return Mark(archive, int(status) if status.strip().isdecimal() else None)


def _bound_to(seen: FileState | None) -> str:
    """What the agent's configuration says; nothing where that leaves it to Consul, by a template or by naming every address."""
    try:
        found = json.loads(seen.content) if seen is not None and seen.content is not None else None
    except ValueError:
        return ""
    address = str(found.get("bind_addr") or "") if isinstance(found, dict) else ""
    return "" if address in _EVERY or "{{" in address else address


def _own(printed: str) -> tuple[str, ...]:
    found: Sequence[str] = printed.split()
    return tuple([address for address in found if ":" not in address] or found)
