"""A system has got another identity: the records follow it, and every incarnation is read again (docs/design.md §6)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.engine.connections import Connections
from reconciler.engine.custody import commit, owned
from reconciler.engine.diff import drifted_fields
from reconciler.engine.journal import Entry, Journal
from reconciler.engine.observe import observe
from reconciler.engine.situation import Situation, incarnation
from reconciler.kinds import all_kinds
from reconciler.manifest.suggestion import instead
from reconciler.model.address import Address
from reconciler.model.errors import ReconcilerError, Refused, SystemFault
from reconciler.model.record import Record, State
from reconciler.model.resource import CONSUL, System, SystemType
from reconciler.ownership.lock import Lock
from reconciler.ownership.records import delete_operation, key_of


@dataclass(frozen=True, slots=True)
class Resettled:
    """``moved`` are the records on the new system, each with the fields in which what is there differs from what was last applied.

    ``forgotten`` were not there, or nothing could tell that they are ours.
    """

    system: System
    identity: str
    moved: tuple[tuple[Record, tuple[str, ...]], ...]
    forgotten: tuple[Record, ...]


def resettle(connections: Connections, old: str, new: str, lock_timeout_s: float, stop: threading.Event) -> Resettled:
    """Move the manifest's records from the system with the identity ``old`` to ``new``, which is a name in the manifest or an identity.

    Raises ReconcilerError when either is not known, Refused when ``old`` is still reached or nothing of it is on the new one.
    """
    name = connections.loaded.name
    with Lock(connections.consul, name, "owned transfer", lock_timeout_s, stop) as lock:
        everything = owned(connections, name)
        mine = [r for r in everything if r.system_identity == old]
        if not mine:
            known = sorted({r.system_identity for r in everything})
            raise ReconcilerError(f"{name!r} owns nothing on a system {old!r}: {instead(old, known)}")
        system, identity = _found(connections, all_kinds()[mine[0].address.kind].system, old, new)
        situation = observe(connections, {}, write=False, only_recorded=True, moved={old: system}).situation
        settled = _settled(situation, old, system, identity)
        occupied = {r.key for r in everything if r.system_identity != old}
        if len(settled.moved) + len(settled.forgotten) < len(mine) or any(r.key in occupied for r, _ in settled.moved):
            raise Refused(f"some of what {name!r} owns on {old} it owns on {system} ({identity}) as well: forget one of them (reconciler owned list)")
        if not settled.moved:
            raise Refused(f"none of the {len(mine)} resources that {name!r} owns on {old} exists on {system} ({identity}): is it the right one?")
        _write(connections, lock, situation, settled)
    return settled


def _found(connections: Connections, kind: SystemType, old: str, new: str) -> tuple[System, str]:
    """The system that is meant by ``new``, and its identity."""
    candidates = list(_candidates(connections, kind))
    identities: dict[System, str] = {}
    for system in candidates:
        try:
            identities[system] = connections.identity(system)
        except SystemFault:
            if new in (system.name, system.type):
                raise
    for system, identity in identities.items():
        if identity == old:
            raise Refused(f"{system} still has the identity {old}: nothing is to be moved")
    meant = [s for s, i in identities.items() if new in (s.name, i) or (s == CONSUL and new == s.type)]
    if not meant:
        raise ReconcilerError(f"there is no {kind} system {new!r}: {instead(new, [s.name or s.type for s in candidates])}")
    return meant[0], identities[meant[0]]


def _candidates(connections: Connections, kind: SystemType) -> Iterator[System]:
    match kind:
        case "consul":
            yield CONSUL
        case "postgres":
            yield from (System("postgres", name) for name in connections.server_names())
        case "host":
            yield from (System("host", name) for name in sorted({"local", *connections.loaded.manifest.hosts}))


def _settled(situation: Situation, old: str, system: System, identity: str) -> Resettled:
    moved: list[tuple[Record, tuple[str, ...]]] = []
    forgotten: list[Record] = []
    now, run = datetime.now(UTC).isoformat(timespec="seconds"), uuid.uuid4().hex
    for address, record in sorted(situation.owned().items()):
        if record.system_identity != old:
            continue
        live = situation.live.get(address)
        if live is None or live.foreign or record.state is State.CLAIMING:
            forgotten.append(record)
            continue
        there = replace(
            record, key=key_of(address, system, identity), system=system, system_identity=identity,
            incarnation=incarnation(live), witness=live.witness, run=run, written=now,
        )  # fmt: skip
        differing = drifted_fields(there, live, situation.rules(address))
        moved.append((there, tuple(".".join(field.path) for field in differing)))
    return Resettled(system, identity, tuple(moved), tuple(forgotten))


def _write(connections: Connections, lock: Lock, situation: Situation, settled: Resettled) -> None:
    """Each record moves in one transaction; so do, with their needs, the records that stay and need it."""
    before = situation.owned()
    keys = {before[r.address].key: r.key for r, _ in settled.moved}
    entries: dict[Address, Entry] = {}
    for record, _ in settled.moved:
        old = before[record.address]
        away = (delete_operation(old),) if old.key != record.key else ()
        entries[record.address] = Entry(record.address, away, _with_needs(record, keys))
    entries |= {r.address: Entry(r.address, (), None) for r in settled.forgotten}
    for address, record in before.items():
        if address not in entries and keys.keys() & record.needs:
            entries[address] = Entry(address, (), _with_needs(record, keys))
    places = {a: e.record.key if e.record else before[a].key for a, e in entries.items()}
    commit(Journal(connections.consul, [lock], list(before.values()), places), *entries.values())


def _with_needs(record: Record, keys: Mapping[str, str]) -> Record:
    return replace(record, needs=tuple(sorted(keys.get(key, key) for key in record.needs)))
