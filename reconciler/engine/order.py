"""What comes before what: among the entries of a manifest, and among the changes of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Reason
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.resource import Desired


def edges_of(changes: Mapping[Address, Change], situation: Situation) -> dict[Address, frozenset[Address]]:
    """For each change, those that come first: what it cannot go without, what was only to be written before it, and what lets go of it."""
    edges = {address: set(needs) for address, needs in needs_of(changes, situation).items()}
    for address, change in changes.items():
        if change.desired is not None:
            edges[address] |= {a for a in change.desired.after if a in changes and changes[a].desired is not None} - {address}
    _let_go_first(changes, edges)
    _gone_last(changes, edges)
    return {a: frozenset(e) for a, e in edges.items()}


def _gone_last(changes: Mapping[Address, Change], edges: dict[Address, set[Address]]) -> None:
    """Nothing waits for the records of what is gone already or goes along; what goes along waits for what takes it."""
    gone = {a for a, c in changes.items() if c.action is Action.FORGET and c.live is None}
    for waited_for in edges.values():
        waited_for.difference_update(gone)
    for address, change in changes.items():
        if Reason.ALONG in change.reasons and change.live is not None and change.live.within is not None:
            edges[change.live.within].discard(address)
            edges[address].add(change.live.within)


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


def _let_go_first(changes: Mapping[Address, Change], edges: dict[Address, set[Address]]) -> None:
    """What lets go of something comes before that changes: a router is deleted before its service stops to speak http.

    Only while that closes no circle: then the system's refusal says what is wrong.
    """
    for address, change in sorted(changes.items()):
        for other in sorted((_let_go(change) & changes.keys()) - _taken_up(change) - {address}):
            waited = other in edges[address]
            edges[address].discard(other)
            if changes[other].action is not Action.FORGET and not _waits_for(address, other, edges):
                edges[other].add(address)
            elif waited:
                edges[address].add(other)


def in_each_others_way(change: Change, changes: Mapping[Address, Change]) -> list[Address]:
    """What changes in the same plan and lets this change come neither first nor last: it is let go of in one way, and taken up in another."""
    if change.action is not Action.UPDATE or change.live is None or not change.live.can_stand_aside:
        return []
    others = (_let_go(change) & _taken_up(change)) - {change.address}
    return sorted(a for a in others if a in changes and changes[a].action is not Action.FORGET)


def _let_go(change: Change) -> set[Address]:
    rewritten = change.action is Action.DELETE or (change.desired is not None and bool(change.fields))
    if change.live is None or not rewritten:
        return set()
    return {address for address, _ in change.live.stands_on - (change.desired.stands_on if change.desired else frozenset())}


def _taken_up(change: Change) -> set[Address]:
    before = change.live.stands_on if change.live else frozenset()
    return {address for address, _ in change.desired.stands_on - before} if change.desired else set()


def _waits_for(address: Address, other: Address, edges: Mapping[Address, set[Address]]) -> bool:
    seen: set[Address] = set()
    waiting = [address]
    while waiting:
        for need in edges.get(waiting.pop(), ()):
            if need == other:
                return True
            if need not in seen:
                seen.add(need)
                waiting.append(need)
    return False


def _successors(change: Change, changes: Mapping[Address, Change]) -> set[Address]:
    """What is made under the label of what is deleted: the old one goes only when the new one is there."""
    label = change.record.label if change.record else None
    return {
        a
        for a, c in changes.items()
        if c.action is Action.CREATE and c.desired is not None and c.desired.label == label and a.kind == change.address.kind
    }


def _containers(change: Change, changes: Mapping[Address, Change]) -> set[Address]:
    """What is deleted together with things that hinder this deletion, or given away: a role goes after the databases that it owns something in."""
    found: set[Address] = set()
    for dependant in (*change.live.dependants, *change.live.hindrances) if change.live else ():
        around = changes.get(dependant.within) if dependant.within is not None else None
        if around is not None and (around.action is Action.DELETE or (dependant.is_itself and around.fields)):
            found.add(around.address)
    return found


def in_order(desired: Mapping[Address, Desired]) -> list[Address]:
    """The addresses, what is needed first, otherwise by address. Raises ManifestError when they need each other in a circle."""
    sorter = TopologicalSorter({a: sorted((desired[a].needs | desired[a].after) & desired.keys()) for a in sorted(desired)})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(str(a) for a in reversed(error.args[1]))
        raise ManifestError([Diagnostic(None, str(error.args[1][0]), f"needs itself: {circle}", "break the circle")]) from None
