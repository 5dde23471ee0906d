"""The other nodes of the mesh, which know nothing of new credentials: each is set up again, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.credentials import joining, nodes
from reconciler.credentials.node import ARCHIVE
from reconciler.credentials.opening import read_sealed
from reconciler.credentials.regeneration import journal as journals
from reconciler.credentials.regeneration.journal import Journal
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems.host import Host, LocalHost


@dataclass(frozen=True, slots=True)
class Other:
    """One node. ``address`` is what its agent is to bind to, where that is said."""

    label: str
    host: Host
    address: str | None = None


def elsewhere(others: Sequence[Other]) -> list[Other]:
    """Those that are not this machine, which has new credentials already. Raises a SystemFault for one that cannot be reached."""
    here = LocalHost().identity
    return [other for other in others if other.host.identity != here]


def addresses(others: Sequence[Other]) -> Mapping[str, str]:
    """What their agents bind to, by label; asked while it is known there. Raises ReconcilerError for what could not be set up again."""
    found: dict[str, str] = {}
    for other in others:
        state = nodes.look(other.host)
        if not state.has_program:
            raise ReconcilerError(f"{other.label} has no program {nodes.PROGRAM}: install it there, or leave the node out")
        if state.archive is not None and state.archive.special:
            raise ReconcilerError(f"{other.label} has {state.archive.special} in the archive's place: remove {ARCHIVE} there, or leave the node out")
        found[other.label] = other.address or nodes.own_address(other.label, state)
    return found


def renew(others: Sequence[Other], archive: Path, journal: Journal, password: Secret, tell: Callable[[str], None]) -> None:
    """Set up again those that the journal does not have as done, in their order. Raises whatever the first one fails with, and begins no other."""
    sealed = read_sealed(archive)
    for number, other in enumerate(others, 1):
        if other.label in journal.nodes_done:
            continue
        tell(f"node {number} of {len(others)}: setting {other.label} up again, which takes a minute or so")
        address = journal.addresses[other.label]
        joining.renew(other.host, sealed, address, password)
        journal = journals.noted_node(archive, journal, other.label)
