"""Memberships must not form a circle (docs/facts.md: Postgres 12), so one that goes does so before new ones come that would close it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

from reconciler.model.address import Address
from reconciler.model.resource import Hold


def against_circles(staying: Iterable[Address], going: Iterable[Address], new: Iterable[Address]) -> dict[Address, frozenset[Hold]]:
    """What of the memberships that go stands in the way of new ones, each with what it insists on. The manifest's own are no circle."""
    going, new = list(going), list(new)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for _, role, member in (address.segments for address in chain(staying, going, new)):
        groups[member].add(role)
    found: defaultdict[Address, set[Hold]] = defaultdict(set)
    for address in new if going else ():
        _, role, member = address.segments
        above = _with_groups(role, groups)
        for other in going:
            if other.segments[2] in above and member in _with_groups(other.segments[1], groups):
                found[other].add(
                    Hold(frozenset({address}), f"{member} to be no member of {role}", lambda world, closing=address: world(closing) is None)  # type: ignore[misc]
                )
    return {address: frozenset(holds) for address, holds in found.items()}


def _with_groups(role: str, groups: Mapping[str, set[str]]) -> set[str]:
    """A role and all that it is a member of, be it through others."""
    found = {role}
    waiting = [role]
    while waiting:
        for group in groups.get(waiting.pop(), set()) - found:
            found.add(group)
            waiting.append(group)
    return found
