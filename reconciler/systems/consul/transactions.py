"""``PUT /v1/txn``: several operations, all or none. Single KV entries are read and written by it too, because the URL form cleans paths."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.model.errors import AccessDenied, LostRace, Rejected
from reconciler.model.kind import Operation
from reconciler.model.value import JSON
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.faults import denied, fault_of_reply, hidden, stale
from reconciler.systems.consul.http import HTTPClient, Reply, encoded

MAX_OPERATIONS: Final = 128
MAX_BODY_BYTES: Final = 524_288
"""Consul's defaults (``maxTxnOps``, ``txn_max_req_len``); the body counts with its values in base64."""

Failures = tuple[tuple[int, str], ...]
"""Which operations failed, by their place in the transaction, and what Consul says of each."""

_NAMES: Final = {"KV": ("Key",), "Node": ("Node",), "Service": ("ID",), "Check": ("Node", "ServiceID", "CheckID")}
_READS: Final = frozenset({"get", "get-or-empty", "get-tree", "check-index", "check-session", "check-not-exists"})


class TransactionRejected(LostRace):
    """A condition of a transaction did not hold; nothing of it was done."""

    def __init__(self, message: str, failures: Failures) -> None:
        super().__init__(message)
        self.failures = failures


class TransactionDenied(AccessDenied):
    """The token may not do some of the operations of a transaction; nothing of it was done."""

    def __init__(self, message: str, failures: Failures) -> None:
        super().__init__(message)
        self.failures = failures


@dataclass(frozen=True, slots=True)
class KvPair:
    """A KV entry as it is. ``session`` is the session that has it locked, or empty."""

    key: str
    value: bytes = field(repr=False)
    flags: int
    session: str
    create_index: int
    modify_index: int

    @classmethod
    def of(cls, entry: JSON) -> KvPair:
        """From the ``KV`` object of a result."""
        value = base64.b64decode(entry.get("Value") or "")
        return cls(entry["Key"], value, entry.get("Flags", 0), entry.get("Session", ""), entry["CreateIndex"], entry["ModifyIndex"])


@dataclass(frozen=True, slots=True)
class Results:
    """What a transaction gave. ``is_filtered``: results that the token may not see were left out (the anonymous token is not told)."""

    entries: list[JSON]
    is_filtered: bool


def transact(http: HTTPClient, operations: Sequence[Operation]) -> Results:
    """Do the operations, all or none.

    Raises TransactionRejected or TransactionDenied when Consul refuses some, Rejected when they are too many or too large, OutcomeUnknown when
    the answer to a write was lost, AccessDenied when a ``get-or-empty`` has no result: that is how Consul hides what may not be read.
    """
    body = encoded(list(operations))
    _demand_that_it_fits(len(operations), len(body))
    reply = http.send("PUT", "/v1/txn", body=body, repeatable=all(_only_reads(o) for o in operations), accept={409})
    if reply.status == 409:
        raise _refusal(reply, operations, http.settings)
    answer = reply.json()
    if answer.get("KnownLeader", True) is False or answer.get("LastContact", 0):
        raise stale("PUT /v1/txn", http.settings)
    results = Results(answer.get("Results") or [], bool(answer.get("ResultsFilteredByACLs")))
    _demand_all_asked_for(operations, results, http.settings)
    return results


def read_keys(http: HTTPClient, keys: Iterable[str]) -> dict[str, KvPair]:
    """The entries of these keys; a key that does not exist is left out. Raises AccessDenied when one of them may not be read."""
    wanted = sorted(set(keys))
    batches = [wanted[n : n + MAX_OPERATIONS] for n in range(0, len(wanted), MAX_OPERATIONS)]

    def read(batch: list[str]) -> Results:
        return transact(http, [{"KV": {"Verb": "get-or-empty", "Key": key}} for key in batch])

    return {p.key: p for results in concurrently(read, batches) for p in _pairs(results)}


def read_trees(http: HTTPClient, prefixes: Sequence[str]) -> tuple[dict[str, KvPair], bool]:
    """All entries whose keys begin with one of the prefixes, as of one moment, and whether Consul left some out."""
    results = transact(http, [{"KV": {"Verb": "get-tree", "Key": prefix}} for prefix in prefixes])
    return {p.key: p for p in _pairs(results)}, results.is_filtered


def concurrently(call: Any, batches: Sequence[Any]) -> list[Any]:
    """``call`` of every batch, at the same time when there are several; the first error is raised."""
    if len(batches) < 2:
        return [call(b) for b in batches]
    with ThreadPoolExecutor(min(8, len(batches)), thread_name_prefix="consul") as pool:
        return list(pool.map(call, batches))


def _pairs(results: Results) -> list[KvPair]:
    # get-or-empty answers for an absent key with an entry that was never created
    return [KvPair.of(e["KV"]) for e in results.entries if e.get("KV") and e["KV"]["CreateIndex"]]


def _only_reads(operation: Operation) -> bool:
    return all((body.get("Verb") in _READS) if kind == "KV" else body.get("Verb") == "get" for kind, body in operation.items())


def _demand_that_it_fits(operations: int, size_bytes: int) -> None:
    if operations > MAX_OPERATIONS:
        raise Rejected(f"a Consul transaction of {operations} operations was asked for; it takes {MAX_OPERATIONS}")
    if size_bytes > MAX_BODY_BYTES:
        raise Rejected(
            f"a Consul transaction of {size_bytes:,} bytes was asked for; it takes {MAX_BODY_BYTES:,}, values counting four thirds: make them smaller"
        )


def _demand_all_asked_for(operations: Sequence[Operation], results: Results, settings: ConsulSettings) -> None:
    asked = {o["KV"]["Key"] for o in operations if "KV" in o and o["KV"].get("Verb") == "get-or-empty"}
    if asked:
        missing = sorted(asked - {e["KV"]["Key"] for e in results.entries if e.get("KV")})
        if missing:
            names = ", ".join(f'"{key}"' for key in missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise hidden(f"key:read on {names}", settings)


def _refusal(reply: Reply, operations: Sequence[Operation], settings: ConsulSettings) -> Exception:
    try:
        failures: Failures = tuple((e["OpIndex"], e["What"]) for e in reply.json()["Errors"])
    except (KeyError, TypeError):
        return fault_of_reply(reply.status, reply.body.decode("utf-8", "replace"), reply.request, settings).fault
    for index, what in failures:
        if "Permission denied" in what:
            return TransactionDenied(str(denied(what, _name(operations[index]), settings)), failures)
    said = "; ".join(f"{_name(operations[index])}: {what}" for index, what in failures)
    return TransactionRejected(f"Consul refused a transaction, because something is not as it was: {said}", failures)


def _name(operation: Operation) -> str:
    """An operation in words, without values: ``set of kv a/b``."""
    for kind, body in operation.items():
        inner = body if kind == "KV" else body.get(kind, {})
        parts = (body.get("Node") if kind == "Service" else None, *(inner.get(k) for k in _NAMES[kind]))
        return f"{body.get('Verb', '')} of {kind.lower()} {'/'.join(p for p in parts if p)}"
    return "an operation"
