"""The other nodes of the mesh, which know nothing of new credentials: each is set up again, one after the other.

What is to be done and what was done is in a file beside the archive, so that the next run goes on, be it one that makes the credentials or one that
is only about the nodes. No secret is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.credentials import joining, members
from reconciler.credentials.node import ARCHIVE
from reconciler.credentials.opening import read_bounded, read_sealed
from reconciler.credentials.sources import digest_of
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems.host import Host, LocalHost

_FORMAT: Final = 1
_MODE: Final = "0600"
_LARGEST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Other:
    """One node. ``address`` is what its agent is to bind to, where that is said."""

    label: str
    host: Host
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """What is to be done on one machine. ``address`` is what set-up is told there: the machine does not know it any more when it was begun."""

    label: str
    address: str
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """``nodes`` by machine-id, so that a label may be given to another machine meanwhile. ``digest`` is that of the archive with which those that are
    done were set up, empty while there is none.
    """

    nodes: Mapping[str, Node]
    digest: str = ""

    @property
    def left(self) -> list[str]:
        """The labels of those that are not done."""
        return [node.label for node in self.nodes.values() if not node.is_done]

    def with_archive(self, digest: str) -> Renewal:
        """The same with this archive: what was done with another one is to be done again."""
        if digest == self.digest:
            return self
        return Renewal({machine: replace(node, is_done=False) for machine, node in self.nodes.items()}, digest)


def path_of(archive: Path) -> Path:
    """Where this lies for the nodes that are to have the archive."""
    return archive.with_name(f"{archive.name}.setting-up")


def read(archive: Path) -> Renewal:
    """What an earlier run has left, nothing where there was none. Raises ReconcilerError for what cannot be read."""
    path = path_of(archive)
    if not os.path.lexists(path):
        return Renewal({})
    try:
        document = json.loads(read_bounded(path, _LARGEST_BYTES, "the list of nodes of an interrupted run"))
        if document["format"] != _FORMAT:
            raise ValueError
        return Renewal({str(machine): Node(**node) for machine, node in document["nodes"].items()}, str(document["digest"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ReconcilerError(f"{path} is none that this version has written: remove it if nothing of that run is wanted any more") from None


def elsewhere(others: Sequence[Other]) -> list[Other]:
    """Those that are not this machine, which has new credentials already. Raises a SystemFault for one that cannot be reached."""
    here = LocalHost().identity
    return [other for other in others if other.host.identity != here]


def planned(others: Sequence[Other], before: Renewal) -> Renewal:
    """What is to be done on these, and was done ``before``. Raises ReconcilerError for what could not be set up again."""
    found: dict[str, Node] = {}
    for other in others:
        machine = other.host.identity
        state, known = members.look(other.host), before.nodes.get(machine)
        if not state.has_program:
            raise ReconcilerError(f"{other.label} has no program {members.PROGRAM}: install it there, or leave the node out")
        if state.archive is not None and state.archive.special:
            raise ReconcilerError(f"{other.label} has {state.archive.special} in the archive's place: remove {ARCHIVE} there, or leave the node out")
        address = other.address or members.own_address(other.label, state, known.address if known else "")
        found[machine] = Node(other.label, address, is_done=known is not None and known.is_done)
    return Renewal({**{machine: node for machine, node in before.nodes.items() if machine not in found}, **found}, before.digest)


def among(renewal: Renewal, others: Sequence[Other]) -> list[Node]:
    """What is to be done on these, in their order."""
    return [renewal.nodes[other.host.identity] for other in others]


def written(archive: Path, renewal: Renewal) -> Renewal:
    """The same, on disk; removed where nothing is left to do."""
    path = str(path_of(archive))
    if renewal.left:
        document = {"format": _FORMAT, "digest": renewal.digest, "nodes": {machine: asdict(node) for machine, node in renewal.nodes.items()}}
        LocalHost().write(path, (json.dumps(document, indent=1) + "\n").encode(), owner=None, group=None, mode=_MODE)
    else:
        LocalHost().remove(path)
    return renewal


def renew(others: Sequence[Other], archive: Path, renewal: Renewal, password: Secret, tell: Callable[[str], None]) -> Renewal:
    """Set up again those that are not done, in their order; what is left then. Raises whatever the first one fails with, and begins no other."""
    sealed = read_sealed(archive)
    renewal = written(archive, renewal.with_archive(digest_of(sealed)))
    for number, other in enumerate(others, 1):
        machine = other.host.identity
        node = renewal.nodes[machine]
        if not node.is_done:
            tell(f"node {number} of {len(others)}: setting {other.label} up again, which takes a minute or so")
            joining.renew(other.host, sealed, node.address, password)
            renewal = written(archive, replace(renewal, nodes={**renewal.nodes, machine: replace(node, is_done=True)}))
    return renewal
