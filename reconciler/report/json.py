"""Plans and outcomes as JSON, in the shapes of :mod:`reconciler.report.documents`: versioned, sorted, without secrets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from reconciler.model.address import Address
from reconciler.model.change import Change, FieldChange, Plan, Reason, Refusal
from reconciler.model.outcome import ChangeOutcome, NotConverged, Outcome, Status
from reconciler.model.secret import MASK, Generate, Hidden, Pending
from reconciler.model.value import JSON, Absent, Digest, Path, Semantic, Value
from reconciler.report import documents as shape
from reconciler.report.changes import shown_fields
from reconciler.report.ending import apply_line, counts, drift_line, plan_line
from reconciler.report.values import is_masked, masked_text, secret_state

_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def plan_document(plan: Plan, operation: shape.OperationName, outcome: Outcome | None = None) -> shape.PlanDocument:
    """The whole document for one run of ``operation``."""
    return {
        "format_version": shape.FORMAT_VERSION,
        "operation": operation,
        "name": plan.name,
        "partial": plan.partial,
        "unchanged": plan.unchanged,
        "systems": [{"type": system.type, "name": system.name, "identity": identity} for system, identity in sorted(plan.systems)],
        "changes": [_change(change) for change in sorted(plan.changes, key=lambda c: c.address)],
        "refusals": [_refusal(refusal) for refusal in plan.refusals],
        "unreadable": [_unreadable(address, path, why) for address, path, why in sorted(plan.unreadable)],
        "warnings": list(plan.warnings),
        "counts": _counts([c.action for c in plan.changes]),
        "summary": drift_line(plan) if operation == "drift" else plan_line(plan, destroy=operation == "destroy"),
        "outcome": None if outcome is None else outcome_document(outcome),
    }


def dumps(document: Mapping[str, Any]) -> str:
    """A document as text that any UTF-8 writer can write and any parser can read, and that is harmless on a terminal.

    Each key has a line of its own, and so has each item of a list, which makes two of them easy to compare, and ten thousand quick to write:
    indenting everything takes ten times as long. JSON has no escape for a lone surrogate that every parser takes, so it stands as the six
    characters of one: a backslash, ``udcXX``.
    """
    text = "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in document.items()) + "\n}"
    return _printable(text) + "\n"


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of :class:`~reconciler.report.documents.PlanDocument`."""
    from pydantic import TypeAdapter  # imported late: only this needs it

    return closed_schema(TypeAdapter(shape.PlanDocument).json_schema(), "reconciler plan, format version 1")


def closed_schema(schema: dict[str, Any], title: str) -> dict[str, Any]:
    """A schema of our shapes that takes no other keys, with descriptions on one line."""
    for definition in (schema, *schema["$defs"].values()):
        if "properties" in definition:
            definition["additionalProperties"] = False
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split()).replace("``", "`")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def one_line(document: Mapping[str, Any]) -> str:
    """A document on one line, as one of several in a stream; otherwise like :func:`dumps`."""
    return _printable(_COMPACT.encode(document)) + "\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(_COMPACT.encode, value)) + "\n]"
    return _COMPACT.encode(value)


def _printable(text: str) -> str:
    if text.replace("\n", "").isprintable():
        return text
    return "".join(char if char == "\n" or char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else json.dumps(char)[1:-1]


def _change(change: Change) -> shape.ChangeDocument:
    return {
        "address": str(change.address),
        "kind": change.address.kind,
        "action": change.action.value,
        "reasons": [_reason(reason) for reason in change.reasons],
        "system": None if change.system is None else str(change.system),
        "place": None if change.desired is None else str(change.desired.place),
        "fields": [_field(field) for field in shown_fields(change)],
        "unreadable": [_unreadable(change.address, path, why) for path, why in change.unreadable],
        "removal": None if change.removal is None else change.removal.value,
        "waits_for": [str(address) for address in sorted(change.waits_for)],
        "supersedes": list(change.deletes_superseded),
        "lost": [dependant.text for dependant in change.live.dependants] if change.live and change.action in ("delete", "replace") else [],
        "warning": change.warning,
    }


def _reason(reason: Reason) -> shape.ReasonName:
    # The values of Reason are words for people; the names are what a program may rely on.
    return cast("shape.ReasonName", reason.name.lower())


def _refusal(refusal: Refusal) -> shape.RefusalDocument:
    return {
        "rule": refusal.rule,
        "address": None if refusal.address is None else str(refusal.address),
        "what": refusal.what,
        "what_to_do": refusal.what_to_do,
        "fields": [_field(field) for field in refusal.fields],
    }


def _unreadable(address: Address, path: Path, why: str) -> shape.UnreadableDocument:
    return {"address": str(address), "path": list(path), "why": why}


def _field(field: FieldChange) -> shape.FieldDocument:
    state = secret_state(field.before, field.after)
    # A plain value beside a secret one may be the same thing, declared sensitive since: both sides are masked (docs/design.md §7).
    hide = is_masked(field.before) or is_masked(field.after)
    before, after = (_value(side, hide=hide) for side in (field.before, field.after))
    return {"path": list(field.path), "secret": state, "before": before, "after": after, "drifted": field.drifted, "manifest": field.manifest}


def _value(value: Value, *, hide: bool) -> shape.ValueDocument:
    if isinstance(value, Absent):
        return {"state": "absent"}
    if isinstance(value, Pending | Generate):
        return {"state": "pending", "text": masked_text(value)}
    if isinstance(value, Hidden):
        return {"state": "unreadable", "text": value.why}
    if hide or is_masked(value):
        return {"state": "secret"}
    if isinstance(value, Digest):
        return {"state": "digest", "sha256": value.sha256}
    if isinstance(value, Semantic):
        return {"state": "value", "value": _plain(value.normal), "text": value.shown}
    return {"state": "value", "value": _plain(value)}


def _plain(value: Value) -> JSON:
    """``value`` as JSON, its keys sorted, secrets in it masked."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Semantic):
        return _plain(value.normal)
    if isinstance(value, Pending | Generate):
        return masked_text(value)
    if isinstance(value, Absent):
        return None
    if isinstance(value, Digest):
        return {"sha256": value.sha256}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return MASK if is_masked(value) else value


def _counts(actions: list[Any]) -> shape.CountsDocument:
    n = counts(actions)
    return {"add": n["add"], "change": n["change"], "replace": n["replace"], "delete": n["delete"], "adopt": n["adopt"], "forget": n["forget"]}


def outcome_document(outcome: Outcome) -> shape.OutcomeDocument:
    """What became of an apply."""
    results = sorted(outcome.results, key=lambda r: r.change.address)
    return {
        "complete": outcome.complete,
        "interrupted": outcome.interrupted,
        "stopped": outcome.stopped,
        "results": [_result(result) for result in results],
        "not_converged": [not_converged_document(item) for item in sorted(outcome.not_converged, key=lambda n: n.change.address)],
        "applied": _counts([r.change.action for r in results if r.status is Status.APPLIED]),
        "failed": outcome.count(Status.FAILED),
        "not_attempted": outcome.count(Status.NOT_ATTEMPTED),
        "not_ready": outcome.count(Status.NOT_READY),
        "summary": apply_line(outcome),
    }


def _result(result: ChangeOutcome) -> shape.ResultDocument:
    change = result.change
    return {
        "address": str(change.address),
        "action": change.action.value,
        "status": result.status.value,
        "why": result.why,
        "seconds": round(result.seconds, 3),
    }


def not_converged_document(item: NotConverged) -> shape.NotConvergedDocument:
    """A resource that was written and still differs."""
    return {"address": str(item.change.address), "fields": [_field(field) for field in item.fields]}
