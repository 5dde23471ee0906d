"""Which part of a manifest a run is about, ``--target`` and ``--exclude``, and what that part drags along (docs/design.md §5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.model.address import Address, matches
from reconciler.model.change import Action, Change, Refusal
from reconciler.model.record import Record
from reconciler.model.resource import Desired

Edges = Mapping[Address, frozenset[Address]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Globs of addresses: a run is about what matches one of ``targets`` (all, where there are none) and none of ``excludes``.

    ``must_match``: a glob that matches nothing is a mistake; not so when what it matched was there before and may have gone.
    """

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    must_match: bool = True

    @property
    def is_partial(self) -> bool:
        """Whether anything at all is left out on request."""
        return bool(self.targets or self.excludes)

    def selects(self, address: Address) -> bool:
        """Whether the run is about this address by itself, and not only because of another one."""
        return (not self.targets or any(matches(glob, address) for glob in self.targets)) and not self.leaves_out(address)

    def leaves_out(self, address: Address) -> bool:
        """Whether it was said that this address stays as it is."""
        return any(matches(glob, address) for glob in self.excludes)

    def unmatched(self, addresses: Iterable[Address]) -> list[tuple[str, str]]:
        """The options and their globs that match none of ``addresses``, where that is a mistake."""
        known = list(addresses)
        if not self.must_match:
            return []
        options = [("--target", glob) for glob in self.targets] + [("--exclude", glob) for glob in self.excludes]
        return [(option, glob) for option, glob in options if not any(matches(glob, a) for a in known)]

    def reach(
        self, desired: Mapping[Address, Desired], records: Mapping[Address, Record],
        replaces: Callable[[Address], bool], key_of: Callable[[Address], str],
    ) -> frozenset[Address]:  # fmt: skip
        """Everything that what is selected could drag along, whatever is live: no more than this needs to be read.

        ``records`` are those of this manifest. ``replaces`` says whether a resource could be made anew and its old one be deleted, ``key_of``
        which key the record of a resource in Consul has, or would have.
        """
        needed_by: dict[str, set[Address]] = {}
        for address, record in records.items():
            for key in record.needs:
                needed_by.setdefault(key, set()).add(address)
        labels: dict[tuple[str, str], set[Address]] = {}
        for address, wanted in desired.items():
            labels.setdefault((address.kind, wanted.label), set()).add(address)
        users = users_of((a for a in desired if replaces(a)), desired)

        def brings(address: Address) -> set[Address]:
            found = set(desired[address].needs & desired.keys()) if address in desired else set()
            # what stands on it may have to let go first, or to stand aside: both are of one kind
            found |= {a for a in needed_by.get(key_of(address), ()) if a.kind == address.kind}
            found |= users.get(address, frozenset())
            if address not in desired and address in records:
                record = records[address]
                found |= needed_by.get(record.key, set()) | labels.get((address.kind, record.label), set())
            return found

        return closure({a for a in {*desired, *records} if self.selects(a)}, brings)


WHOLE: Final = Scope()
"""Everything."""


def closure(start: Iterable[Address], brings: Callable[[Address], Iterable[Address]]) -> frozenset[Address]:
    """``start`` and all that it brings, and what that brings."""
    found: set[Address] = set()
    waiting = list(start)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting += brings(address)
    return frozenset(found)


def users_of(addresses: Iterable[Address], desired: Mapping[Address, Desired]) -> dict[Address, frozenset[Address]]:
    """For each of ``addresses``, everything that needs it, and what needs that: of a token its files, and the units that read them."""
    users: dict[Address, set[Address]] = {}
    for address, wanted in desired.items():
        for need in wanted.needs:
            users.setdefault(need, set()).add(address)
    return {address: closure(users.get(address, ()), lambda user: users.get(user, ())) for address in addresses}


def within(
    scope: Scope, changes: Mapping[Address, Change], refused: Mapping[Address, Refusal], needs: Edges, users: Edges
) -> tuple[dict[Address, Change], dict[Address, Refusal], list[Refusal]]:
    """What of the decisions a plan has, all where nothing is left out: what is selected, and what must come first; and the refusals of what must
    and was left out.

    ``needs`` are the changes that each change cannot go without. ``users`` are those of what is replaced: it is deleted last, so they must all move
    over first, also where only some of them have still to do so (:func:`users_of`).
    """

    def brings(address: Address) -> set[Address]:
        change = changes.get(address)
        if change is None:
            return set()
        found = set(needs.get(address, ()))
        found |= {n for n in change.desired.needs if n in refused} if change.desired else set()
        return found | {a for a in users.get(address, ()) if a in changes and changes[a].desired is not None}

    kept = closure((a for a in {**changes, **refused} if scope.selects(a)), brings)
    excluded = [
        Refusal(
            "excluded need", address,
            f"cannot be {DONE[changes[address].action]} while {need} is left out, which must be {_written(need, changes)}",
            "do not exclude it, or exclude both",
        )
        for address in sorted(kept & changes.keys())
        for need in sorted(brings(address))
        if scope.leaves_out(need) and not scope.leaves_out(address)
    ]  # fmt: skip
    left = {a for a in kept if not scope.leaves_out(a)}
    return {a: c for a, c in changes.items() if a in left}, {a: r for a, r in refused.items() if a in left}, excluded


DONE: Final = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
    Action.RECORD: "recorded",
}


def _written(need: Address, changes: Mapping[Address, Change]) -> str:
    return DONE[changes[need].action] if need in changes else "written"
