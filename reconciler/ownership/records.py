"""The ownership records: one KV key per resource, ``reconciler/owned/<address>``, so that claiming is exclusive by itself (docs/design.md §6)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.address import Address, record_path
from reconciler.model.errors import ReconcilerError
from reconciler.model.kind import Kind, Operation
from reconciler.model.record import Origin, Record, State
from reconciler.model.resource import OnRemoval, System, SystemType
from reconciler.model.secret import Generate
from reconciler.model.value import JSON, WITHHELD, Digest, Semantic, Value

if TYPE_CHECKING:
    from reconciler.systems.consul.transactions import KvPair

PREFIX: Final = "reconciler/owned/"
FORMAT: Final = 1


def key_of(address: Address, system: System, system_identity: str) -> str:
    """The key of a resource's record. A server's or host's name is replaced by its identity, so that renaming it in the manifest changes nothing."""
    identity = address.identity if system.type == "consul" else (system_identity, *address.identity[1:])
    return PREFIX + record_path(address.kind, identity)


Names = Mapping[tuple[SystemType, str], System]
"""The systems that were reached, by type and identity."""


def decode(pair: KvPair, kinds: Mapping[str, Kind], names: Names | None) -> Record:
    """A record from its key and value. Its address says what the system is called now, or its identity when it was not reached; without ``names``,
    what it was called when the record was written.

    Raises ReconcilerError when it was written by a version that this one does not understand, or is damaged.
    """
    try:
        body = json.loads(pair.value)
        if body["format"] != FORMAT:
            raise ReconcilerError(
                f"the ownership record {pair.key} has format {body['format']}: use the version of reconciler that wrote it, or a newer one"
            )
        return _record(pair, body, kinds, names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReconcilerError(
            f"the ownership record {pair.key} is damaged ({type(error).__name__}): restore the key, or delete it to give up ownership"
        ) from None


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a record that is read of every manifest's: enough to know whether the rest matters."""

    owner: str = ""
    kind: str = ""
    system_identity: str = ""
    needs: tuple[str, ...] = ()
    incarnation: str | None = None


def header(pair: KvPair) -> Header:
    """Whose record it is and of what; empty fields when it cannot be told."""
    try:
        body = json.loads(pair.value)
        return Header(str(body["owner"]), str(body["kind"]), str(body["system"]), tuple(map(str, body.get("needs") or ())), body.get("incarnation"))
    except (ValueError, KeyError, TypeError):
        return Header()


def _record(pair: KvPair, body: dict[str, Any], kinds: Mapping[str, Kind], names: Names | None) -> Record:
    kind = kinds.get(body["kind"])
    if kind is None:
        raise ReconcilerError(f"the ownership record {pair.key} is of the kind {body['kind']!r}, which this version does not know: use a newer one")
    segments: list[str] = body["segments"]
    identity: str = body["system"]
    system = (names or {}).get((kind.system, identity))
    if kind.system != "consul" and names is not None:
        segments = [system.name if system else identity, *segments[1:]]
    return Record(
        key=pair.key,
        address=kind.address(*segments),
        system=system,
        system_identity=identity,
        owner=body["owner"],
        label=body["label"],
        state=State(body["state"]),
        origin=Origin(body["origin"]),
        incarnation=body["incarnation"],
        specification=_value_in(body["specification"]),
        witness=pair.modify_index if body["witness"] == "@" else body["witness"],  # "@": written in one transaction, so at one index
        on_removal=OnRemoval(body["on_removal"]) if body["on_removal"] else None,
        protect=body["protect"],
        needs=tuple(body["needs"]),
        superseded=tuple(body["superseded"]),
        run=body["run"],
        written=body["written"],
        created_index=pair.create_index,
        modify_index=pair.modify_index,
        holds={str(key): str(incarnation) for key, incarnation in body.get("holds", {}).items()},
    )


def encode(record: Record) -> bytes:
    """The value that is stored under ``record.key``."""
    body = {
        "format": FORMAT,
        "owner": record.owner,
        "label": record.label,
        "state": record.state,
        "origin": record.origin,
        "kind": record.address.kind,
        "segments": list(record.address.segments),
        "system": record.system_identity,
        "incarnation": record.incarnation,
        "superseded": list(record.superseded),
        "specification": _value_out(record.specification),
        "witness": record.witness,
        "on_removal": record.on_removal,
        "protect": record.protect,
        "needs": list(record.needs),
        "run": record.run,
        "written": record.written,
        **({"holds": dict(record.holds)} if record.holds else {}),
    }
    return json.dumps(body, ensure_ascii=True, sort_keys=True).encode()


def put_operation(record: Record, index: int) -> Operation:
    """The operation that writes a record if its key still has the ModifyIndex ``index`` (0: if there is none)."""
    return {"KV": {"Verb": "cas", "Key": record.key, "Value": base64.b64encode(encode(record)).decode(), "Index": index}}


def delete_operation(record: Record) -> Operation:
    """The operation that removes a record if nobody has written it since it was read."""
    return {"KV": {"Verb": "delete-cas", "Key": record.key, "Index": record.modify_index}}


def _value_out(value: Value) -> JSON:
    if isinstance(value, Semantic):
        return {"$semantic": value.normal}
    if isinstance(value, Digest):
        return {"$sha256": value.sha256}
    if value is WITHHELD:
        return {"$secret": True}
    if isinstance(value, Generate):
        return {"$generate": [value.size_bytes, value.encoding]}
    if isinstance(value, Mapping):
        return {key if not key.startswith("$") else "$" + key: _value_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value_out(item) for item in value]
    return value


def _value_in(value: JSON) -> Value:
    if isinstance(value, list):
        return [_value_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$semantic": normal, **rest} if not rest:
            return Semantic(normal, "", json.dumps(normal, indent=2, sort_keys=True, ensure_ascii=False))
        case {"$sha256": str(digest), **rest} if not rest:
            return Digest(digest)
        case {"$secret": True, **rest} if not rest:
            return WITHHELD
        case {"$generate": [int(size_bytes), ("hex" | "base64" | "base64url") as encoding], **rest} if not rest:
            return Generate(size_bytes, encoding)
    return {key[1:] if key.startswith("$$") else key: _value_in(item) for key, item in value.items()}
