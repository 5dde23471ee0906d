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
    """For each change, those that come first: what it needs; and for a deletion, everything whose record says that it needs it."""
    by_key = {situation.records[a].key: a for a in changes if a in situation.records}
    edges: dict[Address, set[Address]] = {a: set() for a in changes}
    for address, change in changes.items():
        if change.desired is not None:
            edges[address] |= {n for n in change.desired.needs | change.desired.after if n in changes and changes[n].desired is not None}
        for key in change.record.needs if change.record else ():
            needed = by_key.get(key)
            if needed is not None and changes[needed].action in (Action.DELETE, Action.FORGET):
                edges[needed].add(address)
    return {a: frozenset(e - {a}) for a, e in edges.items()}


def in_order(desired: Mapping[Address, Desired]) -> list[Address]:
    """The addresses, what is needed first, otherwise by address. Raises ManifestError when they need each other in a circle."""
    sorter = TopologicalSorter({a: sorted((desired[a].needs | desired[a].after) & desired.keys()) for a in sorted(desired)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(str(a) for a in reversed(error.args[1]))
        raise ManifestError([Diagnostic(None, str(error.args[1][0]), f"needs itself: {circle}", "break the circle")]) from None
