"""Resources change hands: from nobody to a manifest, from one manifest to another, to a system with another identity. Only records are written."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.engine.bookkeeping import Bookkeeping
from reconciler.engine.connections import Connections
from reconciler.engine.custody import commit, owned
from reconciler.engine.journal import Entry, Journal
from reconciler.engine.observe import declare, observe, unsupported
from reconciler.engine.plan import Consents, make_plan
from reconciler.engine.scope import Scope
from reconciler.manifest.suggestion import closest
from reconciler.model.address import Address, matches
from reconciler.model.change import Action, Change
from reconciler.model.errors import ManifestError, ReconcilerError, Refused
from reconciler.model.record import Record, State
from reconciler.ownership import records
from reconciler.ownership.lock import Lock


@dataclass(frozen=True, slots=True)
class Transferred:
    """The records as they are now, and the warnings."""

    records: tuple[Record, ...]
    warnings: tuple[str, ...] = ()


def adopt(connections: Connections, globs: Sequence[str], lock_timeout_s: float, stop: threading.Event) -> tuple[Change, ...]:
    """Take over what is live under these addresses of the manifest, as it is; what differs is left for the next apply.

    All or nothing. Raises Refused for what another manifest owns or what could never be made what the manifest says, and ReconcilerError when
    there is nothing to adopt.
    """
    desired = declare(connections.loaded)
    if missing := unsupported(connections.loaded):
        raise ManifestError(missing)
    scope = Scope(tuple(globs))
    with Lock(connections.consul, connections.loaded.name, "owned adopt", lock_timeout_s, stop) as lock:
        situation = observe(connections, desired, write=False, scope=scope).situation
        plan = make_plan(situation, Consents(scope.targets))
        if refused := [r for r in plan.refusals if r.address is not None and scope.selects(r.address)]:
            raise Refused("\n".join(map(str, refused)))
        changes = tuple(c for c in plan.changes if c.action is Action.ADOPT and scope.selects(c.address))
        left = sorted(a for a in desired if scope.selects(a) and a not in {c.address for c in changes})
        for address in left:
            if not changes or str(address) in globs:  # it was named, and not only matched beside others
                why = "does not exist" if address not in situation.live else f"is owned by {situation.name!r} already"
                raise ReconcilerError(f"{address} {why}: there is nothing to adopt")
        if not changes:
            raise ReconcilerError(f"nothing that {' '.join(globs)} matches is in the manifest: add its entry first")
        journal = Journal(connections.consul, [lock], list(situation.records.values()), situation.keys)
        books = Bookkeeping(situation, uuid.uuid4().hex, journal.stored)
        # with what was live of the fields that are set, so that the next plan shows what the manifest changes of it
        commit(journal, *(Entry(c.address, (), books.taking_over(c) if c.fields else books.adopted(c)) for c in changes))
    return changes


def transfer(
    connections: Connections, globs: Sequence[str], source: str, *, declared: bool, lock_timeout_s: float, stop: threading.Event
) -> Transferred:  # fmt: skip
    """Make resources of the manifest ``source`` those of the manifest that is connected to. ``declared``: only what has an entry there.

    Raises ReconcilerError when there is nothing to transfer, Refused for what its new manifest would delete.
    """
    target = connections.loaded.name
    if source == target:
        raise ReconcilerError(f"{source} and {target} are one and the same manifest name")
    with ExitStack() as held:
        # in one order, whoever asks, so that two transfers in opposite directions do not wait for one another
        locks = [held.enter_context(Lock(connections.consul, name, "owned transfer", lock_timeout_s, stop)) for name in sorted((source, target))]
        theirs = owned(connections, source)
        chosen = _chosen(theirs, globs, source)
        if declared:
            _demand_declared(connections, chosen, target)
        run, now = uuid.uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
        made = [replace(record, owner=target, run=run, written=now) for record in chosen]
        # Two servers may have had one name, so the records are told apart by their keys.
        by_key = {record.key: Address.of("record", record.key) for record in chosen}
        journal = Journal(connections.consul, locks, chosen, {address: key for key, address in by_key.items()})
        commit(journal, *(Entry(by_key[record.key], (), record) for record in made))
    return Transferred(tuple(made), tuple(_left_behind(made, theirs, source)))


def _chosen(theirs: Iterable[Record], globs: Sequence[str], source: str) -> list[Record]:
    known = {str(record.address): record for record in theirs}
    for glob in globs:
        if not any(_is_meant(glob, record) for record in known.values()):
            guess = closest(glob, known)
            remedy = f"did you mean {guess}?" if guess else f"see reconciler owned list --name {source}"
            raise ReconcilerError(f"{glob} is not owned by {source!r}: {remedy}")
    chosen = [record for record in theirs if any(_is_meant(glob, record) for glob in globs)]
    for record in chosen:
        if record.state is State.CLAIMING:
            raise ReconcilerError(f"{record.address} was not finished by an earlier run of {source!r}: apply that manifest first")
    return chosen


def _is_meant(glob: str, record: Record) -> bool:
    return matches(glob, record.address) or glob == record.key.removeprefix(records.PREFIX)


def _demand_declared(connections: Connections, chosen: Iterable[Record], target: str) -> None:
    desired = declare(connections.loaded)
    identities = {system: connections.identity(system) for system in {d.system for d in desired.values()}}
    keys = {records.key_of(address, d.system, identities[d.system]) for address, d in desired.items()}
    missing = [record for record in chosen if record.key not in keys]
    if missing:
        names = ", ".join(str(record.address) for record in missing)
        raise Refused(
            f"{names}: not declared in {target!r}, whose next apply would remove it: add its entry first, or give --to {target} and no FILE"
        )


def _left_behind(made: Sequence[Record], theirs: Iterable[Record], source: str) -> Iterable[str]:
    staying = {record.key: record for record in theirs} | dict.fromkeys((record.key for record in made), None)
    for record in made:
        for need in sorted(record.needs):
            other = staying.get(need)
            if other is not None:
                yield f"{record.address} needs {other.address}, which still belongs to {source!r}"
