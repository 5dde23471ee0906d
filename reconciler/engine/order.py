"""What comes before what: among the entries of a manifest, and among the changes of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.resource import Desired


def edges_of(changes: Mapping[Address, Change], situation: Situation) -> dict[Address, frozenset[Address]]:
    """For each change, those that come first: what it cannot go without, and what was only to be written before it."""
    edges = needs_of(changes, situation)
    for address, change in changes.items():
        if change.desired is not None:
            edges[address] |= {a for a in change.desired.after if a in changes and changes[a].desired is not None} - {address}
    return edges


def needs_of(changes: Mapping[Address, Change], situation: Situation) -> dict[Address, frozenset[Address]]:
    """For each change, those that it cannot go without: what it needs; and for a deletion, everything whose record says that it needs it."""
    by_key = {situation.records[a].key: a for a in changes if a in situation.records}
    edges: dict[Address, set[Address]] = {a: set() for a in changes}
    for address, change in changes.items():
        if change.desired is not None:
            edges[address] |= {n for n in change.desired.needs if n in changes and changes[n].desired is not None}
        for key in change.record.needs if change.record else ():
            needed = by_key.get(key)
            if needed is not None and changes[needed].action in (Action.DELETE, Action.FORGET):
                edges[needed].add(address)
    for address, change in changes.items():
        if change.action is Action.DELETE:
            edges[address] |= _successors(change, changes) | _containers(change, changes)
    return {a: frozenset(e - {a}) for a, e in edges.items()}


def _successors(change: Change, changes: Mapping[Address, Change]) -> set[Address]:
    """What is made under the label of what is deleted: the old one goes only when the new one is there."""
    label = change.record.label if change.record else None
    return {
        a
        for a, c in changes.items()
        if c.action is Action.CREATE and c.desired is not None and c.desired.label == label and a.kind == change.address.kind
    }


def _containers(change: Change, changes: Mapping[Address, Change]) -> set[Address]:
    """What is deleted together with things that hinder this deletion: a role goes after the databases in which it owns something."""
    dependants = change.live.dependants if change.live else ()
    return {w for d in dependants if (w := d.within) is not None and w in changes and changes[w].action is Action.DELETE}


def in_order(desired: Mapping[Address, Desired]) -> list[Address]:
    """The addresses, what is needed first, otherwise by address. Raises ManifestError when they need each other in a circle."""
    sorter = TopologicalSorter({a: sorted((desired[a].needs | desired[a].after) & desired.keys()) for a in sorted(desired)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(str(a) for a in reversed(error.args[1]))
        raise ManifestError([Diagnostic(None, str(error.args[1][0]), f"needs itself: {circle}", "break the circle")]) from None
