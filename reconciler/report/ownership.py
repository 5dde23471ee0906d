"""The ownership records as a table, one by one, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from reconciler.model.change import Change
from reconciler.model.history import History, Holder
from reconciler.model.record import Record
from reconciler.model.value import Digest, Semantic, Value
from reconciler.report.changes import indented
from reconciler.report.characters import visible
from reconciler.report.differences import field_lines, value_lines
from reconciler.report.paint import PLAIN, Colour, Paint
from reconciler.report.values import is_masked, masked_text

_TITLES = ("ADDRESS", "MANIFEST", "STATE", "ORIGIN", "ON REMOVAL")


def table(records: Sequence[Record]) -> str:
    """One line each, in columns, sorted by address."""
    ordered = sorted(records, key=lambda r: (r.address, r.owner))
    rows = [_TITLES, *(_row(record) for record in ordered)]
    if not ordered:
        return "Nothing is owned.\n"
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)


def record_text(record: Record, paint: Paint = PLAIN, history: History | None = None) -> str:
    """Everything that is remembered of one resource, and what else can be told of it."""
    facts: dict[str, str] = {
        "manifest": record.owner,
        "label": record.label,
        "state": str(record.state),
        "origin": str(record.origin),
        "on_removal": str(record.removal) + ("" if record.on_removal else f", because it was {record.origin}"),
        "protect": "true" if record.protect else "false",
        "system": f"{record.system} ({record.system_identity})" if record.system else record.system_identity,
        "incarnation": _incarnation(record),
        **_told(record, history),
        "needs": ", ".join(record.needs),
        "written": f"{record.written} by run {record.run}",
        "key": record.key,
    }
    lines = [f"{name}: {visible(text)}" for name, text in facts.items() if text]
    applied = [line for key, value in sorted(record.specification.items()) for line in value_lines((key,), value)]
    lines += ["last applied:", *indented(applied)] if applied else ["last applied: nothing that can be recorded"]
    return "\n".join(line.rstrip() for line in (paint(visible(str(record.address)), Colour.HEADING), *indented(lines))) + "\n"


def record_document(record: Record, history: History | None = None) -> dict[str, Any]:
    """The same for other programs; what was a secret is the string ``(secret)``. ``history`` is there for what has one."""
    return {
        "address": str(record.address),
        "manifest": record.owner,
        "label": record.label,
        "state": record.state.value,
        "origin": record.origin.value,
        "on_removal": record.removal.value,
        "protect": record.protect,
        "system": None if record.system is None else str(record.system),
        "system_identity": record.system_identity,
        "incarnation": record.incarnation,
        "superseded": list(record.superseded),
        "needs": list(record.needs),
        "run": record.run,
        "written": record.written,
        "key": record.key,
        "specification": _plain(record.specification),
        **({} if history is None else {"history": _history(history)}),
    }


def adopted_text(changes: Iterable[Change], name: str, paint: Paint = PLAIN) -> str:
    """What was taken over as it is, and what the next apply makes of it."""
    lines: list[str] = []
    for change in changes:
        what = "and differs from the manifest: the next apply changes it (live → manifest)" if change.fields else "and is as the manifest says"
        lines.append(f"{paint(visible(str(change.address)), Colour.HEADING)} belongs to {visible(name)} now, {what}")
        lines += indented([line for field in change.fields for line in field_lines(field, paint)])
    return "".join(f"{line.rstrip()}\n" for line in lines)


def resettled_text(system: str, moved: Iterable[tuple[Record, Sequence[str]]], forgotten: Iterable[Record]) -> str:
    """Which records follow a system to its new identity, and which do not."""
    lines = []
    for record, differing in moved:
        but = f", and differs from what was last applied in {', '.join(map(visible, differing))}" if differing else ""
        lines.append(f"{visible(str(record.address))} is on {visible(system)} now{but}.\n")
    lines += [f"{visible(str(record.address))} was not found there, or nothing tells that it is ours: forgotten.\n" for record in forgotten]
    return "".join(lines)


def _told(record: Record, history: History | None) -> dict[str, str]:
    if history is None:
        return {"superseded": ", ".join(record.superseded)}
    states = {True: "still there", False: "gone", None: "not known whether it is still there"}
    return {
        "made": history.made or f"not known: {history.why_not}",
        **{title: _files(history, record, holds) for title, holds in _HOLDING.items()},
        "superseded": ", ".join(f"{what} ({states[is_there]})" for what, is_there in history.superseded),
    }


_HOLDING: Final = {"held by": "this", "still the old one": "old", "not written": "nothing", "not known": "unknown"}


def _files(history: History, record: Record, holds: str) -> str:
    files = [holder.record for holder in _sorted(history.holders) if holder.holds == holds]
    return ", ".join(f"{_path(f)} on {f.address.segments[0]}{'' if f.owner == record.owner else f' (of {f.owner})'}" for f in files)


def _path(file: Record) -> str:
    return f"/{file.address.segments[1]}"


def _history(history: History) -> dict[str, Any]:
    files = [
        {"address": str(f.address), "host": f.address.segments[0], "path": _path(f), "manifest": f.owner, "holds": holder.holds}
        for holder in _sorted(history.holders) for f in (holder.record,)
    ]  # fmt: skip
    superseded = [{"accessor": what, "exists": is_there} for what, is_there in history.superseded]
    return {"made": history.made or None, "why_not": history.why_not, "files": files, "superseded": superseded}


def _sorted(holders: Iterable[Holder]) -> list[Holder]:
    return sorted(holders, key=lambda h: (h.record.address, h.record.owner))


def _incarnation(record: Record) -> str:
    if record.incarnation == "@":
        return f"index {record.created_index}, at which it was made together with this record"
    return record.incarnation or "none"


def _row(record: Record) -> tuple[str, ...]:
    removal = f"{record.removal}{', protected' if record.protect else ''}"
    return (visible(str(record.address)), visible(record.owner), str(record.state), str(record.origin), removal)


def _plain(value: Value) -> Any:
    if is_masked(value):
        return masked_text(value)
    if isinstance(value, Semantic):
        return _plain(value.normal)
    if isinstance(value, Digest):
        return {"sha256": value.sha256}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
