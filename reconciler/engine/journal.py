"""Writes ownership records, and the changes that share a transaction with theirs: in batches, under the lock, each by compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.model.address import Address
from reconciler.model.errors import AccessDenied, LockLost, LostRace, OutcomeUnknown, SystemFault
from reconciler.model.kind import Operation
from reconciler.model.record import Record
from reconciler.model.value import JSON
from reconciler.ownership.lock import Lock
from reconciler.ownership.records import delete_operation, encode, put_operation
from reconciler.systems.consul.client import Consul
from reconciler.systems.consul.http import encoded
from reconciler.systems.consul.transactions import TransactionDenied, TransactionRejected

_MAX_OPERATIONS: Final = 128
_MAX_BYTES: Final = 400_000


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written for one address in one transaction: operations on the resource, then its record (None removes it)."""

    address: Address
    operations: tuple[Operation, ...]
    record: Record | None
    anew: bool = False
    """Remove the old record first, so that resource and record get one CreateIndex."""


class Journal:
    """The records as they are now, by key; every write goes through here so that the next one knows the index. All ``locks`` must still be held."""

    def __init__(self, consul: Consul, locks: Sequence[Lock], records: Sequence[Record], keys: Mapping[Address, str]) -> None:
        self._consul = consul
        self._locks = locks
        self._stored = {r.key: r for r in records}
        self._keys = {**{r.address: r.key for r in records}, **keys}

    def stored(self, address: Address) -> Record | None:
        """The record of a resource as it is now."""
        return self._stored.get(self._keys[address])

    def write(self, entries: Sequence[Entry]) -> dict[Address, SystemFault]:
        """Write the entries, as many as fit in each transaction; the faults of those that were not written, by address.

        An entry that Consul refuses is left out and the rest of its transaction tried again. Raises LockLost.
        """
        faults: dict[Address, SystemFault] = {}
        for batch in _batches([(e, self._operations(e, self._keys[e.address])) for e in entries], len(self._locks)):
            faults |= self._commit(batch)
        return faults

    def _operations(self, entry: Entry, key: str) -> list[Operation]:
        stored = self._stored.get(key)
        if entry.record is None:
            return [*entry.operations, *([delete_operation(stored)] if stored else [])]
        if entry.anew and stored:
            return [delete_operation(stored), *entry.operations, put_operation(entry.record, 0)]
        return [*entry.operations, put_operation(entry.record, stored.modify_index if stored else 0)]

    def _commit(self, batch: list[tuple[Entry, list[Operation]]]) -> dict[Address, SystemFault]:
        faults: dict[Address, SystemFault] = {}
        while batch:
            try:
                results = self._consul.transaction([*(lock.check() for lock in self._locks), *(o for _, operations in batch for o in operations)])
            except (TransactionRejected, TransactionDenied) as rejected:
                failed = self._failed(batch, rejected)
                faults |= failed
                batch = [(e, o) for e, o in batch if e.address not in failed]
            except OutcomeUnknown as unknown:
                return faults if self._was_done(batch) else faults | {e.address: unknown for e, _ in batch}
            except SystemFault as fault:
                return faults | {e.address: fault for e, _ in batch}
            else:
                self._remember(batch, {r["KV"]["Key"]: r["KV"] for r in results if r.get("KV")})
                return faults
        return faults

    def _was_done(self, batch: list[tuple[Entry, list[Operation]]]) -> bool:
        """Whether a transaction whose answer was lost was done: if so, every record is as it was to be. It is not sent again."""
        keys = {e.address: self._keys[e.address] for e, _ in batch}
        try:
            pairs = self._consul.kv_get(keys.values())
        except SystemFault:
            return False
        found = {e.address: pairs.get(keys[e.address]) for e, _ in batch}
        if any((pair.value if (pair := found[e.address]) else None) != (encode(e.record) if e.record else None) for e, _ in batch):
            return False
        self._remember(batch, {p.key: {"CreateIndex": p.create_index, "ModifyIndex": p.modify_index} for p in pairs.values()})
        return True

    def _failed(self, batch: list[tuple[Entry, list[Operation]]], rejected: TransactionRejected | TransactionDenied) -> dict[Address, SystemFault]:
        owners: list[Lock | Address] = [*self._locks, *(e.address for e, operations in batch for _ in operations)]
        failed: dict[Address, SystemFault] = {}
        for index, what in rejected.failures:
            owner = owners[index]
            if isinstance(owner, Lock):
                owner.lose()
                raise LockLost(f"the lock was lost: {what}")
            failed.setdefault(owner, _fault(rejected, what))
        if not failed:
            raise rejected
        return failed

    def _remember(self, batch: list[tuple[Entry, list[Operation]]], indexes: Mapping[str, JSON]) -> None:
        for entry, _ in batch:
            key = self._keys[entry.address]
            if entry.record is None:
                self._stored.pop(key, None)
            else:
                pair = indexes[key]
                self._stored[key] = replace(entry.record, created_index=pair["CreateIndex"], modify_index=pair["ModifyIndex"])


def _fault(rejected: TransactionRejected | TransactionDenied, what: str) -> SystemFault:
    if isinstance(rejected, TransactionDenied):
        return AccessDenied(f"{what}: grant that, or use another token")
    return LostRace(f"somebody else changed it meanwhile ({what}): run again")


def _batches(prepared: list[tuple[Entry, list[Operation]]], locks: int) -> list[list[tuple[Entry, list[Operation]]]]:
    batches: list[list[tuple[Entry, list[Operation]]]] = []
    count, size = _MAX_OPERATIONS, 0
    for entry, operations in prepared:
        entry_size = len(encoded(operations))
        if not batches or locks + count + len(operations) > _MAX_OPERATIONS or size + entry_size > _MAX_BYTES:
            batches.append([])
            count, size = 0, 0
        batches[-1].append((entry, operations))
        count += len(operations)
        size += entry_size
    return batches
