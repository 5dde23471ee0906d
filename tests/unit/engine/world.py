"""A small world in memory: enough to carry out a plan and look at what came of it, with the engine's own bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.engine.diff import merged
from reconciler.engine.guard import Limits
from reconciler.engine.orders import Orders
from reconciler.engine.plan import Consents, make_plan
from reconciler.engine.scope import WHOLE, Scope
from reconciler.engine.situation import Situation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Plan
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Made
from reconciler.model.record import Record
from reconciler.model.resource import CONSUL, Desired, Live, OnRemoval, Place

NAME = "world"
IDENTITY = "trust/dc1"


class Thing:
    """A kind whose resources are plain mappings. The planner asks a kind for nothing but what stands here."""

    name = "thing"
    system = "consul"
    replaces = True
    rules = FieldRules(whole=frozenset({("whole",)}), immutable=frozenset({"fixed"}), defaults={"switch": True})


def address(name: str) -> Address:
    return Address.of("thing", name)


def desired(name: str, fields: Mapping[str, Any], needs: frozenset[str] = frozenset(), **options: Any) -> Desired:
    wanted = frozenset(address(n) for n in needs)
    return Desired(address(name), CONSUL, dict(fields), name, Place("m.yaml", 1, 1), needs=wanted, must_exist=wanted, **options)


@dataclass
class World:
    """What is live and what is recorded. ``index`` grows with every creation, so that each incarnation is another."""

    live: dict[Address, Live] = field(default_factory=dict)
    records: dict[Address, Record] = field(default_factory=dict)
    index: int = 0
    owner: str = NAME

    def stranger(self, name: str, fields: Mapping[str, Any]) -> None:
        """Somebody else makes, or makes anew, a resource."""
        self.index += 1
        self.live[address(name)] = Live(address(name), dict(fields), str(self.index), created_index=self.index)

    def edit(self, name: str, **fields: Any) -> None:
        """Somebody else changes fields of a resource."""
        live = self.live[address(name)]
        self.live[address(name)] = replace(live, fields={**live.fields, **fields})

    def remove(self, name: str) -> None:
        """Somebody else deletes a resource."""
        del self.live[address(name)]

    def situation(self, *wanted: Desired, scope: Scope = WHOLE) -> Situation:
        """What a plan is made from; of a part only what was in reach is read."""
        all_desired = {d.address: d for d in wanted}
        keys = {a: f"reconciler/owned/{a}" for a in {*all_desired, *(n for d in wanted for n in d.needs)}}
        kinds: Any = {"thing": Thing()}
        reach = scope.reach(all_desired, self.records, lambda _: True, lambda a: f"reconciler/owned/{a}") if scope.is_partial else None
        referred = {n for a, d in all_desired.items() if reach is None or a in reach for n in d.must_exist}
        live = {a: one for a, one in self.live.items() if reach is None or a in reach or a in referred}
        return Situation(self.owner, all_desired, dict(self.records), live, kinds, keys, {CONSUL: IDENTITY}, scope=scope, reach=reach)

    def plan(self, *wanted: Desired, adopt: tuple[str, ...] = (), scope: Scope = WHOLE) -> Plan:
        return make_plan(self.situation(*wanted, scope=scope), Consents(adopt))

    def apply(self, *wanted: Desired, adopt: tuple[str, ...] = (), scope: Scope = WHOLE) -> Plan:
        """Carry out the plan, in an order that its edges allow; the plan."""
        situation = self.situation(*wanted, scope=scope)
        plan = make_plan(situation, Consents(adopt))
        assert not plan.refusals, plan.refusals
        books, orders = Bookkeeping(situation, "run"), Orders(situation, Limits())
        waiting = {c.address: c for c in plan.changes}
        while waiting:
            ready = [c for c in waiting.values() if not c.waits_for & waiting.keys()]
            assert ready, "the edges of the plan go in a circle"
            for change in ready:
                del waiting[change.address]
                self._carry_out(change, books, orders)
                orders.applied(change)
        return plan

    def _carry_out(self, change: Change, books: Bookkeeping, orders: Orders) -> None:
        a = change.address
        match change.action:
            case Action.CREATE | Action.REPLACE:
                assert change.action is Action.REPLACE or a not in self.live, "created over something that exists"
                self.index += 1
                order = orders.order(change)
                self.live[a] = Live(a, dict(order.fields), str(self.index), created_index=self.index)
                self.records[a] = replace(books.without_superseded(change, books.made(change, Made(str(self.index)))), modify_index=self.index)
            case Action.UPDATE:
                assert change.live is not None and change.desired is not None
                self.live[a] = replace(change.live, fields=merged(change.desired.fields, change.fields, change.live, Thing.rules))
                self.records[a] = books.made(change, Made(change.live.incarnation))
            case Action.ADOPT:
                assert change.live is not None and change.desired is not None
                self.live[a] = replace(change.live, fields=merged(change.desired.fields, change.fields, change.live, Thing.rules))
                self.records[a] = books.adopted(change)
            case Action.RECORD:
                self.records[a] = books.confirmed(change)
            case Action.DELETE:
                assert a in self.records and self.records[a].owner == self.owner, "deleted what is not ours"
                del self.live[a], self.records[a]
            case Action.FORGET:
                del self.records[a]


RETAIN = OnRemoval.RETAIN
