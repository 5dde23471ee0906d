"""What the live systems insist on while a plan is carried out: which changes something else must let go of, stand aside for, or hinders.

A resource that is live stands on others (:class:`~reconciler.model.resource.Hold`), and its system looks at that whenever one of them is written.
So each hold is judged in every state that a run can pass through: after any of the changes that it is about, in any order that the plan leaves open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from reconciler.engine.advice import quoted
from reconciler.engine.order import awaited_removals, fields_after, is_written, waits_for
from reconciler.engine.scope import DONE, Edges
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Reason, Refusal
from reconciler.model.resource import Desired, Hold, Live
from reconciler.model.value import Value

Fields = Mapping[str, Value] | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What becomes of what stands on something that changes: ``aside`` are the changes that stand aside for others, those that the manifest asks
    for and those that are nothing but that. ``brings`` are the changes that each change must not go without. ``refusals``: what can do neither.
    """

    aside: Mapping[Address, Change]
    brings: Mapping[Address, frozenset[Address]]
    refusals: tuple[Refusal, ...]


def standing(
    changes: Mapping[Address, Change], everything: Mapping[Address, Change], situation: Situation, settled: Mapping[Address, Desired], edges: Edges
) -> Standing:
    """Judge ``changes``, a part of ``everything`` that could be done, in the order of ``edges``.

    ``settled`` is what is desired, with references replaced by what they mean after the plan.
    """
    judge = _Judge(changes, everything, situation, settled, edges)
    for _, live in sorted(situation.live.items()):
        judge.judge(live)
    return Standing(judge.aside, {a: frozenset(b) for a, b in judge.brings.items()}, tuple(judge.refusals))


class _Judge:
    def __init__(
        self, changes: Mapping[Address, Change], everything: Mapping[Address, Change], situation: Situation, settled: Mapping[Address, Desired],
        edges: Edges,
    ) -> None:  # fmt: skip
        self.changes = changes
        self.everything = everything
        self.situation = situation
        self.settled = settled
        self.edges = edges
        self.written = {a: c for a, c in changes.items() if is_written(c)}
        self.early = awaited_removals(changes, edges)
        self.fields: dict[Address, Fields] = {}
        self.aside: dict[Address, Change] = {}
        self.brings: dict[Address, set[Address]] = {}
        self.refusals: list[Refusal] = []

    def judge(self, live: Live) -> None:
        """One resource that stands on others, and the changes of these."""
        change = self.written.get(live.address)
        holds = [h for h in sorted(live.stands_on, key=lambda h: h.what) if h.on & self.written.keys()]
        if not holds or (change is not None and change.desired is None):
            return
        after = live.stands_on if change is None or change.desired is None else change.desired.stands_on
        self._renew(live, [h for h in holds if h.part and h in after and not self._met(h, frozenset()) and self._met(h, h.on & self.written.keys())])
        before = [h for h in holds if not h.part and self._met(h, frozenset())]
        left = [h for h in before if h in after and not self._met(h, h.on & self.written.keys())]
        for hold in left:
            self._leave(live.address, hold)
        old, new = ({a for h in holds for a in self._breaking(h)} - {live.address} for holds in (before, after))
        if not left and any(first == last or waits_for(first, last, self.edges) for first in {*new, live.address} for last in old):
            # it cannot be written after what it is to stand on, and all else that it waits for, and before what it stood on
            self._make_way(live, sorted(old | new))

    def _leave(self, address: Address, hold: Hold) -> None:
        """A hold will not be met any more."""
        touched = min(hold.on & self.written.keys())
        companions = self._companions(address, hold)
        self.brings.setdefault(touched, set()).update(companions)
        if not companions:
            what = f"cannot be {DONE[self.written[touched].action]}, because {self._named(address)} needs {hold.what}"
            self.refusals.append(Refusal("in the way", touched, what, self._remedy(address, "change or remove that entry, too")))

    def _renew(self, live: Live, late: list[Hold]) -> None:
        """What takes these parts away for a moment, so that they are not in vain any longer when they are put back."""
        if not late:
            return
        parts = ", ".join(h.part for h in late)
        why = f"{parts} is gone for a moment and put back when there is what it needs: as long as it stays, it does not notice that"
        stood = self._aside(live, why)
        first = min(late[0].on & self.written.keys())
        if live.address not in self.changes and live.address in self.everything:
            self.brings.setdefault(first, set()).add(live.address)
        elif stood is None:
            unnoticed = f"{live.address} does not notice it for {parts}, which it must be written without for that, and anew"
            self.aside[first] = replace(self.written[first], warning=self.written[first].warning or unnoticed)
        elif self.situation.scope.leaves_out(live.address):
            self.brings.setdefault(first, set()).add(live.address)
        else:
            self.aside[live.address] = replace(stood, without=frozenset(h.part for h in late))

    def _make_way(self, live: Live, ways: list[Address]) -> None:
        address = live.address
        is_missing = address not in self.changes and address in self.everything
        stood = self._aside(live, f"part of it is gone for a moment, because Consul does not let {_all(ways)} change beside it")
        if is_missing or (stood is not None and self.situation.scope.leaves_out(address)):
            self.brings.setdefault(ways[0], set()).add(address)
        elif stood is not None:
            self.aside[address] = stood
        else:
            what = f"cannot be {DONE[self.written[ways[0]].action]} with {_all(ways[1:]) or 'it there'}"
            what += f" as long as {self._named(address)} stands, because Consul looks at it after each write"
            self.refusals.append(Refusal("in the way", ways[0], what, self._remedy(address, "remove that entry, apply, and add it again")))

    def _breaking(self, hold: Hold) -> frozenset[Address]:
        """The changes it is about, if it is not met in one of the states that they leave behind one after the other."""
        about = sorted(hold.on & self.written.keys())
        for size in range(len(about) + 1):
            for done in combinations(about, size):
                if self._is_reachable(done, about) and not self._met(hold, frozenset(done)):
                    return frozenset(about)
        return frozenset()

    def _is_reachable(self, done: Iterable[Address], about: Iterable[Address]) -> bool:
        return not any(self._comes_first(later, one) for one in done for later in about if later not in done)

    def _comes_first(self, one: Address, other: Address) -> bool:
        if waits_for(other, one, self.edges):
            return True
        return self._is_late(other) and not self._is_late(one) and not waits_for(one, other, self.edges)

    def _is_late(self, address: Address) -> bool:
        return self.written[address].action is Action.DELETE and address not in self.early

    def _met(self, hold: Hold, done: frozenset[Address]) -> bool:
        return hold.met(lambda address: self._after(address) if address in done else self._before(address))

    def _before(self, address: Address) -> Fields:
        live = self.situation.live.get(address)
        return live.fields if live is not None else None

    def _after(self, address: Address) -> Fields:
        if address not in self.fields:
            self.fields[address] = fields_after(self.written[address], self.situation)
        return self.fields[address]

    def _companions(self, address: Address, hold: Hold) -> set[Address]:
        """What of everything else that could be done would make the hold met, or makes it let go."""
        own = self.everything.get(address)
        if own is not None and address not in self.changes and is_written(own) and (own.desired is None or hold not in own.desired.stands_on):
            return {address}
        return {a for a in hold.on & self.everything.keys() - self.changes.keys() if is_written(self.everything[a])}

    def _aside(self, live: Live, why: str) -> Change | None:
        """The change that stands aside, if it can and is ours."""
        address = live.address
        change, desired, record = self.changes.get(address), self.settled.get(address), self.situation.owned().get(address)
        if not live.can_stand_aside or desired is None or record is None:
            return None
        if change is None:
            change = Change(address, Action.UPDATE, desired.system, (Reason.ASIDE,), (), desired, live, record, removal=record.removal)
        elif change.action is Action.RECORD:
            change = replace(change, action=Action.UPDATE, reasons=(*change.reasons, Reason.ASIDE))
        elif change.action is not Action.UPDATE:
            return None
        return replace(change, stands_aside=True, warning=why)

    def _named(self, address: Address) -> str:
        if address not in self.situation.owned():
            return f"{address}, which this manifest does not own,"
        return str(address) if address in self.situation.desired else f"{address}, which is kept,"

    def _remedy(self, address: Address, ours: str) -> str:
        if address in self.situation.owned():
            return ours
        if address in self.situation.desired:
            return f"adopt it first: --target {quoted(address)}"
        return "have it changed or removed, or add its entry here"


def _all(addresses: list[Address]) -> str:
    return " and ".join(map(str, addresses))
