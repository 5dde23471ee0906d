"""What comes before what: among the entries of a manifest, and among the changes of a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import Final

from reconciler.engine.diff import merged
from reconciler.engine.scope import closure
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Reason
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ManifestError
from reconciler.model.resource import Desired, Hold
from reconciler.model.value import Value

REMOVALS: Final = frozenset({Action.DELETE, Action.FORGET})


def edges_of(changes: Mapping[Address, Change], situation: Situation) -> dict[Address, frozenset[Address]]:
    """For each change, those that come first: what it cannot go without, what was only to be written before it, and what lets go of it.

    What stands on a deletion waits for it, and what stands aside comes after all for which it does.
    """
    edges = {address: set(needs) for address, needs in needs_of(changes, situation).items()}
    for address, change in changes.items():
        if change.desired is not None:
            edges[address] |= {a for a in change.desired.after if a in changes and changes[a].desired is not None} - {address}
    _let_go_first(changes, edges)
    _once_gone(changes, edges, situation)
    _stand_again_last(changes, edges)
    _gone_last(changes, edges)
    return {a: frozenset(e) for a, e in edges.items()}


def _gone_last(changes: Mapping[Address, Change], edges: dict[Address, set[Address]]) -> None:
    """Nothing waits for the records of what is gone already or goes along; what goes along waits for what takes it."""
    gone = {a for a, c in changes.items() if c.action is Action.FORGET and c.live is None and not c.deletes_superseded}
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
            if situation.kinds[address.kind].replaces:
                edges[address] |= _moving_over(edges[address], changes)
    return {a: frozenset(e - {a}) for a, e in edges.items()}


def _let_go_first(changes: Mapping[Address, Change], edges: dict[Address, set[Address]]) -> None:
    """What lets go of something comes before that changes: a router is deleted before its service stops to speak http.

    Only while that closes no circle: then the system's refusal says what is wrong.
    """
    for address in sorted(a for a, c in changes.items() if not c.stands_aside):
        change = changes[address]
        for other in sorted((_let_go(change) & changes.keys()) - _taken_up(change) - {address}):
            waited, idle = {other} & edges[address], _idle_users(change, changes)
            edges[address].discard(other)
            if changes[other].action is Action.FORGET:
                edges[address] |= waited
            elif not waits_for(address, other, edges):
                edges[other].add(address)
            elif not waits_for(address, other, {**edges, address: edges[address] - idle}):
                edges[address] -= idle
                edges[other].add(address)
            else:
                edges[address] |= waited


def _idle_users(change: Change, changes: Mapping[Address, Change]) -> set[Address]:
    """What a deletion waits for, as a rule, though the system would not insist: what says what it stands on, and does not stand on this."""
    if change.action is not Action.DELETE:
        return set()
    users = {a: c.live.stands_on for a, c in changes.items() if a.kind == change.address.kind and c.live is not None}
    return {a for a, holds in users.items() if holds and change.address not in _on(holds)}


def _once_gone(changes: Mapping[Address, Change], edges: dict[Address, set[Address]], situation: Situation) -> None:
    """What stands on something that deletions bring about, all of them and not some, waits for them: a service speaks tcp again once its own protocol
    is gone. Only while that closes no circle, as above.
    """
    for address, change in sorted(changes.items()):
        if change.desired is None or not is_written(change) or change.stands_aside:
            continue
        for hold in sorted(change.desired.stands_on, key=lambda h: h.what):
            gone = {a for a in hold.on & changes.keys() if changes[a].action is Action.DELETE}
            left = [set(some) for size in range(len(gone)) for some in combinations(sorted(gone), size + 1)]
            if not all(hold.met(lambda a, late=late: _fields(a, changes, situation, late)) for late in left):  # type: ignore[misc]
                for other in sorted(gone):
                    waited = address in edges[other]
                    edges[other].discard(address)
                    if not waits_for(other, address, edges):
                        edges[address].add(other)
                    elif waited:
                        edges[other].add(address)


def _fields(address: Address, changes: Mapping[Address, Change], situation: Situation, late: Collection[Address]) -> Mapping[str, Value] | None:
    """The fields of a resource after all changes but those in ``late``."""
    if address in changes and address not in late and is_written(changes[address]):
        return fields_after(changes[address], situation)
    live = situation.live.get(address)
    return live.fields if live is not None else None


def fields_after(change: Change, situation: Situation) -> Mapping[str, Value] | None:
    """What a change that writes makes of its resource."""
    if change.action is Action.DELETE or change.desired is None:
        return None
    if change.live is None or change.action is Action.REPLACE:
        return change.desired.fields
    return merged(change.desired.fields, change.fields, change.live, situation.rules(change.address))


def _stand_again_last(changes: Mapping[Address, Change], edges: dict[Address, set[Address]]) -> None:
    """What stood aside is written again when nothing changes any more that it stands on, deletions included."""
    for address in sorted(a for a, c in changes.items() if c.stands_aside):
        live, desired = changes[address].live, changes[address].desired
        holds = (live.stands_on if live else frozenset()) | (desired.stands_on if desired else frozenset())
        for other in sorted(_on(holds) & changes.keys() - {address}):
            edges[other].discard(address)
            if is_written(changes[other]) and not waits_for(other, address, edges):
                edges[address].add(other)


def is_written(change: Change) -> bool:
    """Whether the resource is another one afterwards."""
    return change.action in (Action.CREATE, Action.REPLACE, Action.DELETE) or (change.action in (Action.UPDATE, Action.ADOPT) and bool(change.fields))


def awaited_removals(changes: Mapping[Address, Change], edges: Mapping[Address, Collection[Address]]) -> set[Address]:
    """The removals that some creation or update waits for, be it in a row; the others come last."""
    found: set[Address] = set()
    waiting = [a for address, c in changes.items() if c.action not in REMOVALS for a in edges[address]]
    while waiting:
        address = waiting.pop()
        if address in changes and address not in found:
            found.add(address)
            waiting.extend(edges[address])
    return found


def last_removals(changes: Mapping[Address, Change], edges: Mapping[Address, Collection[Address]], early: Collection[Address]) -> frozenset[Address]:
    """The deletions of what is needed by what replacements leave behind, which goes when everything else is done; and what waits for them.

    ``early`` are the removals that something else waits for, which cannot wait so long.
    """
    replaced = {a for a, c in changes.items() if c.deletes_superseded and c.action is not Action.DELETE}
    waiting: dict[Address, set[Address]] = {}
    for address, first in edges.items():
        for other in first:
            waiting.setdefault(other, set()).add(address)
    needed = {a for a, c in changes.items() if c.action is Action.DELETE and a not in early and replaced.intersection(edges[a])}
    return closure(needed, lambda a: waiting.get(a, ()))


def _let_go(change: Change) -> set[Address]:
    if change.live is None or not is_written(change):
        return set()
    return _on(h for h in change.live.stands_on - (change.desired.stands_on if change.desired else frozenset()) if not h.part)


def _taken_up(change: Change) -> set[Address]:
    before = change.live.stands_on if change.live else frozenset()
    return _on(h for h in change.desired.stands_on - before if not h.part) if change.desired else set()


def _on(holds: Iterable[Hold]) -> set[Address]:
    return {address for hold in holds for address in hold.on}


def waits_for(address: Address, other: Address, edges: Mapping[Address, Collection[Address]]) -> bool:
    """Whether a change comes after the other one, be it in a row."""
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


def _moving_over(users: Collection[Address], changes: Mapping[Address, Change]) -> frozenset[Address]:
    """What uses the users of something that another takes the place of: a unit that has read a token's file has the old one until it restarts."""
    by_need: dict[str, set[Address]] = {}
    for address, change in changes.items():
        for key in change.record.needs if change.record else ():
            by_need.setdefault(key, set()).add(address)
    return closure(users, lambda a: by_need.get(changes[a].record.key, ()) if changes[a].record else ())  # type: ignore[union-attr]


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
