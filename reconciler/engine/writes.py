"""How one change is written: as part of a transaction with its record, or by a call of its own between two records (docs/design.md §6)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.engine.connections import Connections
from reconciler.engine.diff import compare, matches_claim
from reconciler.engine.journal import Entry
from reconciler.engine.orders import Orders
from reconciler.engine.scope import users_of
from reconciler.engine.situation import Situation, incarnation
from reconciler.model.address import Address
from reconciler.model.change import Action, Change
from reconciler.model.errors import AlreadyExists, OutcomeUnknown, ReconcilerError, SystemFault
from reconciler.model.kind import DirectKind, ForeseeingKind, Made, Order, ReplacingKind, TransactionalKind, Wanted, YieldingKind
from reconciler.model.record import Record, State
from reconciler.model.resource import CONSUL, Live
from reconciler.model.secret import Reference
from reconciler.model.value import JSON, all_of
from reconciler.ownership.lock import Lock
from reconciler.systems.consul.reader import ConsulReader


class NotStarted(ReconcilerError):
    """The run was interrupted before this write was sent."""


class Writes:
    """Knows for each change what goes into the journal before and after it, and makes the calls."""

    def __init__(self, situation: Situation, connections: Connections, orders: Orders, books: Bookkeeping, lock: Lock, stop: threading.Event) -> None:
        self._situation = situation
        self._connections = connections
        self._orders = orders
        self._books = books
        self._lock = lock
        self._stop = stop
        self._foreseen: dict[Address, JSON] = {}

    def together(self, change: Change) -> Entry | None:
        """The transaction that is the whole change, or None when it takes a call of its own. Raises a ReconcilerError when it must not be made."""
        address, kind = change.address, self._situation.kinds[change.address.kind]
        match change.action:
            case Action.ADOPT if not change.fields:
                return Entry(address, (), self._books.adopted(change))
            case Action.RECORD:
                return Entry(address, (), self._books.confirmed(change))
            case Action.FORGET:
                # what a replacement left behind is still to be deleted, and only the record knows of it
                return Entry(address, (), change.record if change.deletes_superseded else None)
        if not isinstance(kind, TransactionalKind):
            return None
        order = self._orders.order(change)
        change = self._orders.known(change)
        if change.action is Action.DELETE:
            return self._deletion(change, kind)
        if change.action is Action.CREATE:
            return Entry(address, tuple(kind.create_operations(order)), self._books.made(change, Made("@", witness="@")), anew=True)
        assert change.live is not None
        known = change.record.incarnation if change.record and change.action is Action.UPDATE else incarnation(change.live)
        return Entry(address, tuple(kind.update_operations(order)), self._books.made(change, Made(known, witness="@")))

    def _deletion(self, change: Change, kind: TransactionalKind) -> Entry:
        assert change.live is not None
        hindrance = kind.hindrance(self._connections.consul, change.live)
        if hindrance:
            raise AlreadyExists(f"{hindrance}: left where it is; run again to forget it")
        return Entry(change.address, tuple(kind.delete_operations(change.live)), None)

    def before(self, change: Change) -> Record | None:
        """The record to be written before a call: the claim of what will be created, the taking over of what will be changed."""
        if change.action is Action.REPLACE:
            return self._books.claim(change)
        if change.action is Action.CREATE:
            # A claim of an earlier run that says the same stands: what that run sent may come to be only now (CREATE DATABASE).
            claim, old = self._books.claim(change, self._foresee(change)), change.record
            same = old is not None and old.state is State.CLAIMING and _said(old) == _said(claim)
            return None if same else claim
        return self._books.taking_over(change) if change.action is Action.ADOPT else None

    def _foresee(self, change: Change) -> JSON:
        """What the kind must know of it when it is removed, from before it is made."""
        address, kind = change.address, self._situation.kinds[change.address.kind]
        if not isinstance(kind, ForeseeingKind) or change.system is None:
            return None
        identity = self._situation.systems[change.system]
        known = [*self._situation.elsewhere, *self._situation.owned().values()]
        remembered = [r.witness for r in known if r.address.kind == address.kind and r.system_identity == identity]
        remembered += [witness for a, witness in self._foreseen.items() if a.segments[0] == address.segments[0]]
        self._foreseen[address] = kind.foresee(self._connections.of(change.system), address, remembered)
        return self._foreseen[address]

    def after(self, change: Change, made: Made | None) -> Entry:
        """What is recorded once a call has succeeded."""
        if made is not None and change.address in self._foreseen:
            made = replace(made, witness=self._foreseen[change.address])
        return Entry(change.address, (), self._books.made(change, made) if made else None)

    def undone(self, change: Change) -> Entry | None:
        """A creation that certainly did not happen gives its claim back: the record is as it was before."""
        if change.action is Action.REPLACE or (change.action is Action.CREATE and change.record is None):
            return Entry(change.address, (), change.record)
        return None

    def call(self, change: Change, order: Order) -> Made | None:
        """Write it. Runs in a worker."""
        kind = self._situation.kinds[change.address.kind]
        assert isinstance(kind, DirectKind)
        if self._stop.is_set():
            raise NotStarted
        self._lock.demand()
        try:
            return self._send(change, kind, order)
        except OutcomeUnknown as unknown:
            return self._look_again(change, kind, order, unknown)

    def stand_aside(self, change: Change) -> Change:
        """Make it what it can be while what it stands on changes; the change that is to follow. Raises a ReconcilerError."""
        kind = self._situation.kinds[change.address.kind]
        assert isinstance(kind, YieldingKind)
        self._lock.demand()
        order = replace(self._orders.order(change), without=change.without)
        return replace(change, live=kind.stand_aside(self._connections.of(change.system or CONSUL), order))

    def stand_again(self, change: Change) -> None:
        """Make what stood aside for nothing what it was. Raises a ReconcilerError."""
        kind = self._situation.kinds[change.address.kind]
        assert isinstance(kind, YieldingKind) and change.live is not None
        self._lock.demand()
        order = Order(change.address, change.live.fields, self._situation.name, live=change.live, record=change.record)
        kind.update(self._connections.of(change.system or CONSUL), order)

    def _send(self, change: Change, kind: DirectKind, order: Order) -> Made | None:
        system = self._connections.of(change.system or CONSUL)
        match change.action:
            case Action.DELETE:
                kind.delete(system, order)
                if isinstance(kind, ReplacingKind):
                    for old in change.deletes_superseded:
                        kind.delete_superseded(system, old)
                return None
            case Action.CREATE | Action.REPLACE:
                try:
                    return kind.create(system, order)
                except AlreadyExists as exists:
                    return self._made_earlier(change, kind, exists)
            case _:
                return kind.update(system, order)

    def _look_again(self, change: Change, kind: DirectKind, order: Order, unknown: OutcomeUnknown) -> Made | None:
        """A write whose answer was lost is not sent again: it was done when what is live is what it was to leave. Raises ``unknown`` otherwise."""
        if change.action is Action.REPLACE:
            raise unknown  # the record still means the old one
        try:
            live = self._live(change, kind)
        except SystemFault:
            raise unknown from None
        if change.action is Action.DELETE and live is None and not change.deletes_superseded:
            return None
        if change.action is Action.DELETE or live is None:
            raise unknown
        if change.live is not None and incarnation(live) != incarnation(change.live):
            raise unknown
        # against the old record, so that a field that was to be unset and is still there counts
        left = compare(order.fields, change.record, live, kind.rules)
        if left.fields or left.unreadable:
            raise unknown
        return Made(incarnation(live), live.witness, live.outputs)

    def _live(self, change: Change, kind: DirectKind) -> Live | None:
        system = change.system or CONSUL
        source = ConsulReader(self._connections.consul) if system == CONSUL else self._connections.of(system)
        answered = kind.read(source, [Wanted(change.address, self._situation.name, change.desired, change.record)])
        return next((live for live in answered if live.address == change.address), None)

    def referred_to_by(self, address: Address) -> frozenset[Address]:
        """What the fields of a desired resource refer to."""
        desired = self._situation.desired.get(address)
        return frozenset(r.address for r in all_of(desired.fields, Reference)) if desired else frozenset()

    def users_of(self, addresses: Iterable[Address]) -> dict[Address, frozenset[Address]]:
        """What uses each of these, be it through others."""
        return users_of(addresses, self._situation.desired)

    def delete_superseded(self, change: Change, record: Record) -> Entry:
        """Delete what replacements left behind; what is to be recorded then."""
        kind = self._situation.kinds[change.address.kind]
        assert isinstance(kind, ReplacingKind)
        for old in record.superseded:
            self._lock.demand()
            kind.delete_superseded(self._connections.of(change.system or CONSUL), old)
        return Entry(change.address, (), None if change.action is Action.FORGET else self._books.without_superseded(change, record))

    def _made_earlier(self, change: Change, kind: DirectKind, exists: AlreadyExists) -> Made:
        """What exists is ours when it is what the claim of an earlier, interrupted run said."""
        record = change.record
        live = self._live(change, kind) if record is not None and record.state is State.CLAIMING else None
        if record is None or live is None or not matches_claim(record, live, kind.rules):
            raise exists
        return Made(incarnation(live), live.witness, live.outputs)


def _said(claim: Record) -> tuple[object, ...]:
    return claim.specification, claim.superseded, claim.witness
