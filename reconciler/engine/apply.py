"""Makes a plan so: in the order of its edges, independent branches in parallel, each resource claimed before and recorded after (docs/design.md §8).

One thread coordinates: it decides what is ready, writes records and transactions, and collects. Workers make the writes that are calls of their
own; on one Postgres server they are serial. What finished while a transaction was under way is recorded by the next one, so records go in batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.engine.connections import Connections
from reconciler.engine.guard import Limits
from reconciler.engine.journal import Entry, Journal
from reconciler.engine.orders import Orders
from reconciler.engine.readiness import wait_until_ready
from reconciler.engine.schedule import Progress, Schedule
from reconciler.engine.situation import Situation
from reconciler.engine.writes import NotStarted, Writes
from reconciler.model.address import Address
from reconciler.model.change import Action, Change, Plan
from reconciler.model.errors import LockLost, OutcomeUnknown, PartlyDone, ReconcilerError, SystemFault, Unreachable
from reconciler.model.kind import Made
from reconciler.model.outcome import Outcome
from reconciler.model.resource import CONSUL, System
from reconciler.ownership.lock import Lock


def run(
    plan: Plan, situation: Situation, connections: Connections, lock: Lock, limits: Limits, *,
    run_id: str, parallelism: int, wait_s: float, progress: Callable[[Progress], None], stop: threading.Event,
) -> Outcome:  # fmt: skip
    """Apply ``plan`` under ``lock``, and wait up to ``wait_s`` until what was started serves.

    The faults of single changes are in the outcome; nothing is raised for them.
    """
    orders = Orders(situation, limits)
    journal = Journal(connections.consul, [lock], list(situation.records.values()), situation.keys)
    writes = Writes(situation, connections, orders, Bookkeeping(situation, run_id, journal.stored), lock, stop)
    outcome = _Run(plan, Schedule(plan.changes, progress), writes, journal, orders, stop, parallelism).run()
    return wait_until_ready(outcome, situation, connections, orders, wait_s=wait_s, progress=progress, stop=stop)


class _Run:
    def __init__(
        self, plan: Plan, schedule: Schedule, writes: Writes, journal: Journal, orders: Orders, stop: threading.Event, parallelism: int
    ) -> None:
        self.plan = plan
        self.schedule = schedule
        self.writes = writes
        self.journal = journal
        self.orders = orders
        self.stop = stop
        self.parallelism = parallelism
        self.running: dict[Future[Made | None], Change] = {}
        self.pools: dict[System, ThreadPoolExecutor] = {}
        self.stopped = ""
        self.aside: list[Change] = []

    def run(self) -> Outcome:
        try:
            self._stand_aside()
            self._carry_out()
            self._delete_superseded()
            self.schedule.let_go()
            self._carry_out()
            self._stand_again()
            self._ends_early()
        except LockLost as lost:
            self.stopped = str(lost)
        finally:
            for pool in self.pools.values():
                pool.shutdown()
        # What was in flight when the lock was lost may have been written; its record may not be, and the next run finds the claim.
        self.schedule.abandon(self.stopped)
        return Outcome(self.schedule.results(), stopped=self.stopped, interrupted=self.stopped == "interrupted")

    def _carry_out(self) -> None:
        while not self.schedule.is_done and not self._ends_early():
            self._start(self.schedule.ready())
            self._collect()
        while self.running:
            self._collect()

    def _stand_aside(self) -> None:
        for change in self.plan.changes:
            if change.stands_aside and not self._ends_early():
                try:
                    self.aside.append(self.writes.stand_aside(change))
                    self.schedule.renew(self.aside[-1])
                except LockLost:
                    raise
                except ReconcilerError as fault:
                    self.schedule.end(change, fault)

    def _stand_again(self) -> None:
        """What stood aside and could not be changed after all is what it was again, if it can be; the run ends with its fault in any case."""
        for change in self.aside:
            if not self.schedule.is_applied(change):
                with suppress(SystemFault):
                    self.writes.stand_again(change)

    def _ends_early(self) -> bool:
        """Whether nothing new may be started, nor read again."""
        if self.stop.is_set() and not self.stopped:
            self.stopped = "interrupted"
        return bool(self.stopped)

    def _start(self, changes: list[Change]) -> None:
        for change in changes:
            self.schedule.start(change)
        together: list[tuple[Change, Entry]] = []
        alone: list[Change] = []
        for change in changes:
            try:
                entry = self.writes.together(change)
            except ReconcilerError as fault:
                self.schedule.end(change, fault)
                continue
            if entry is None:
                alone.append(change)
            else:
                together.append((change, entry))
        self._write(together)
        self._submit(alone)

    def _write(self, entries: list[tuple[Change, Entry]]) -> None:
        """Commit entries that are, or complete, their changes."""
        faults = self.journal.write([e for _, e in entries])
        for change, _ in entries:
            fault = faults.get(change.address)
            if fault is None:
                self.orders.applied(change)
            self.schedule.end(change, fault)

    def _submit(self, changes: list[Change]) -> None:
        entries: list[Entry] = []
        faults: dict[Address, ReconcilerError] = {}
        for change in changes:
            try:
                record = self.writes.before(change)
                entries += [Entry(change.address, (), record)] if record is not None else []
            except ReconcilerError as fault:
                faults[change.address] = fault
        faults |= self.journal.write(entries)
        for change in changes:
            try:
                if change.address in faults:
                    raise faults[change.address]
                order = self.orders.order(change)
            except ReconcilerError as fault:
                self._fail(change, fault)
                continue
            pool = self._pool(change.system or CONSUL)
            self.running[pool.submit(self.writes.call, change, order)] = change

    def _pool(self, system: System) -> ThreadPoolExecutor:
        if system not in self.pools:
            self.pools[system] = ThreadPoolExecutor(_workers(system, self.parallelism), thread_name_prefix=str(system))
        return self.pools[system]

    def _collect(self) -> None:
        """Wait until a call has ended, and record all that have."""
        if not self.running:
            return
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        succeeded: list[tuple[Change, Entry]] = []
        for future in done:
            change = self.running.pop(future)
            try:
                made = future.result()
            except ReconcilerError as fault:
                self._fail(change, fault)
                continue
            self.orders.keep(change, made)
            succeeded.append((change, self.writes.after(self.orders.known(change), made)))
        self._write(succeeded)

    def _fail(self, change: Change, fault: ReconcilerError) -> None:
        if isinstance(fault, LockLost):
            self.stopped = str(fault)
        elif not isinstance(fault, OutcomeUnknown | PartlyDone | Unreachable):
            undone = self.writes.undone(change)
            self.journal.write([undone] if undone else [])
        if isinstance(fault, NotStarted):
            self.schedule.give_up(change, "interrupted")
        else:
            self.schedule.end(change, fault)

    def _unseen_users(self, change: Change) -> list[Address]:
        """What refers to it and could not be compared: it may still hold what is to be deleted."""
        unreadable = {address for address, _, _ in self.plan.unreadable}
        return sorted(a for a in unreadable if change.address in self.writes.referred_to_by(a))

    def _delete_superseded(self) -> None:
        """What replacements left behind, once everything that used it has moved over, units that read its file included."""
        replaced = [c for c in self.plan.changes if c.deletes_superseded and c.action is not Action.DELETE]
        users_of = self.writes.users_of(c.address for c in replaced)
        for change in replaced:
            if self._ends_early():
                return
            if not self.schedule.is_applied(change):
                continue
            users = self.schedule.unfinished(users_of[change.address]) or self._unseen_users(change)
            record = self.journal.stored(change.address)
            try:
                if users:
                    raise SystemFault(f"the old one was kept, because {users[0]} does not certainly use the new one")
                if record is not None:
                    faults = self.journal.write([self.writes.delete_superseded(change, record)])
                    for fault in faults.values():
                        raise fault
            except LockLost:
                raise
            except ReconcilerError as fault:
                self.schedule.end(change, fault)


def _workers(system: System, parallelism: int) -> int:
    """Postgres serialises what goes in transactions by itself; only CREATE and DROP DATABASE gain from more than one connection."""
    match system.type:
        case "consul":
            return parallelism
        case "postgres":
            from reconciler.systems.postgres import PARALLEL

            return min(PARALLEL, parallelism)
        case "host":
            return 1
