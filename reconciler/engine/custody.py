"""The ownership records by hand: to look at them, and to correct them. Nothing here touches a resource."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from reconciler.engine.connections import Connections
from reconciler.engine.journal import Entry, Journal
from reconciler.kinds import all_kinds
from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, ReconcilerError, SystemFault
from reconciler.model.history import History, RememberedKind
from reconciler.model.kind import Permission
from reconciler.model.record import Record
from reconciler.ownership import records
from reconciler.ownership.lock import Lock, read_holder, release


def owned(connections: Connections, name: str | None = None) -> list[Record]:
    """The ownership records, by address; of every manifest, or of the one called ``name``."""
    if not all(connections.consul.authorize([Permission("key", records.PREFIX, "read")])):
        lacking = f'it lacks key:read on "{records.PREFIX}"'
        raise AccessDenied(f"the Consul token may not read the ownership records; {lacking}: grant that, or use another token")
    pairs = connections.consul.kv_tree(records.PREFIX)
    found = [records.decode(p, all_kinds(), None) for p in pairs.values() if name is None or records.header(p).owner == name]
    return sorted(found, key=lambda r: (r.address, r.owner))


def history(connections: Connections, record: Record) -> History | None:
    """What can be told of an owned resource besides its record; None for a kind that has nothing more to tell."""
    kind = all_kinds()[record.address.kind]
    if not isinstance(kind, RememberedKind):
        return None
    pairs = connections.consul.kv_tree(records.PREFIX).values()
    return kind.history(connections.consul, record, [records.decode(p, all_kinds(), None) for p in pairs if record.key in records.header(p).needs])


def forget(connections: Connections, address: str, lock_timeout_s: float, stop: threading.Event) -> Record:
    """Give up ownership of one resource, which stays as it is. Raises ReconcilerError when it is not owned."""
    with _one_record(connections, address, lock_timeout_s, stop, "owned forget") as (journal, record):
        if record.superseded:
            old = ", ".join(record.superseded)
            raise ReconcilerError(f"{address} has left {old} to be deleted, which only its record knows: apply first, then forget it")
        commit(journal, Entry(record.address, (), None))
    return record


def unprotect(connections: Connections, address: str, lock_timeout_s: float, stop: threading.Event) -> Record:
    """Lift the protection of one resource. Raises ReconcilerError when it is not owned."""
    with _one_record(connections, address, lock_timeout_s, stop, "owned unprotect") as (journal, record):
        commit(journal, Entry(record.address, (), replace(record, protect=False)))
    return record


def unlock(connections: Connections, name: str, confirm: Callable[[str], bool]) -> str | None:
    """Take the lock away from whoever holds it, after ``confirm`` was told who; what was taken, or None when nobody held it."""
    holder = read_holder(connections.consul, name)
    if holder is None:
        return None
    if not confirm(str(holder)):
        raise ReconcilerError("not unlocked")
    release(connections.consul, name, holder)
    return str(holder)


@contextmanager
def _one_record(
    connections: Connections, address: str, lock_timeout_s: float, stop: threading.Event, operation: str
) -> Iterator[tuple[Journal, Record]]:
    name = connections.loaded.name
    with Lock(connections.consul, name, operation, lock_timeout_s, stop) as lock:
        found = [r for r in owned(connections, name) if address in (str(r.address), r.key.removeprefix(records.PREFIX))]
        if not found:
            raise ReconcilerError(f"{address} is not owned by {name!r}: see reconciler owned list")
        yield Journal(connections.consul, [lock], found, {}), found[0]


def commit(journal: Journal, *entries: Entry) -> None:
    """Write records. Raises the first fault; what other transactions have written before stays."""
    faults: dict[Address, SystemFault] = journal.write(entries)
    for fault in faults.values():
        raise fault
