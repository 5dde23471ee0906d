"""One change of a plan as lines: its symbol, address and reasons, its fields, and what else a reviewer must know."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from reconciler.model.change import Action, Change, FieldChange, Reason, Refusal
from reconciler.model.resource import OnRemoval
from reconciler.model.value import ABSENT
from reconciler.report.characters import visible
from reconciler.report.differences import field_lines, value_lines
from reconciler.report.paint import Colour, Paint
from reconciler.report.values import dotted

INDENT: Final = "    "

SYMBOLS: Final = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DELETE: "-",
    Action.ADOPT: "»",
    Action.FORGET: "×",
    Action.RECORD: "~",
}

COLOURS: Final = {
    Action.CREATE: Colour.ADDED,
    Action.UPDATE: Colour.CHANGED,
    Action.REPLACE: Colour.REMOVED,
    Action.DELETE: Colour.REMOVED,
    Action.ADOPT: Colour.TAKEN,
    Action.FORGET: Colour.FAINT,
    Action.RECORD: Colour.CHANGED,
}


def shown_fields(change: Change) -> tuple[FieldChange, ...]:
    """The fields a report gives: those that differ; of a creation, all that the manifest sets."""
    if change.fields or change.action is not Action.CREATE or change.desired is None:
        return change.fields
    return tuple(FieldChange((key,), ABSENT, value) for key, value in sorted(change.desired.fields.items()))


def head(change: Change, paint: Paint) -> str:
    """``~ kv/app/name (manifest changed, drifted)``."""
    reasons = head_reasons(change)
    symbol = paint(SYMBOLS[change.action], COLOURS[change.action])
    return f"{symbol} {paint(visible(str(change.address)), Colour.HEADING)}" + (f" ({', '.join(reasons)})" if reasons else "")


def head_reasons(change: Change) -> list[str]:
    """Why, in a few words each."""
    if change.action is Action.RECORD:
        return ["record only", *(str(r) for r in change.reasons if r is Reason.UNFINISHED)]
    return [str(reason) for reason in change.reasons]


def change_lines(change: Change, paint: Paint) -> list[str]:
    """Everything about one change, its head first."""
    body = [*_fields(change, paint), *_unreadable(change), *_record_notes(change), *_losses(change, paint)]
    body += [f"the one it supersedes is deleted last: {visible(text)}" for text in change.deletes_superseded]
    if change.warning:
        body.append(f"note: {visible(change.warning)}")
    return [head(change, paint), *indented(body)]


def refusal_lines(refusal: Refusal, paint: Paint, *, apart: bool = False) -> list[str]:
    """``× address: what: what to do``, and the fields that it is about. ``apart``: what to do on a line of its own, after them."""
    said = replace(refusal, what_to_do="") if apart else refusal
    advice = [visible(refusal.what_to_do)] if apart and refusal.what_to_do else []
    fields = [line for field in refusal.fields for line in field_lines(field, paint)]
    return [f"{paint('×', Colour.REMOVED)} {visible(str(said))}", *indented([*fields, *advice])]


def indented(lines: list[str]) -> list[str]:
    """``lines`` one step further in; empty ones stay empty."""
    return [f"{INDENT}{line}" if line else "" for line in lines]


def _fields(change: Change, paint: Paint) -> list[str]:
    if change.action in (Action.DELETE, Action.FORGET):
        return []
    if change.action is Action.CREATE:
        return [line for field in shown_fields(change) for line in value_lines(field.path, field.after)]
    mixed = Reason.MANIFEST in change.reasons and Reason.DRIFTED in change.reasons
    return [line for field in change.fields for line in field_lines(field, paint, mark_drift=mixed)]


def _unreadable(change: Change) -> list[str]:
    return [f"{dotted(path)}: cannot compare ({visible(why)})" for path, why in change.unreadable]


def _record_notes(change: Change) -> list[str]:
    """What is remembered for the day the entry is removed, where it differs from before or from what one would expect."""
    desired, record, notes = change.desired, change.record, []
    if change.action in (Action.UPDATE, Action.REPLACE, Action.RECORD) and desired is not None and record is not None:
        if change.removal is not None and change.removal is not record.removal:
            notes.append(f"on_removal: {record.removal} → {change.removal}")
        if desired.protect is not record.protect:
            notes.append(f"protect: {_word(record.protect)} → {_word(desired.protect)}")
    elif change.action in (Action.CREATE, Action.ADOPT):
        if change.removal is OnRemoval.RETAIN:
            notes.append("on_removal: retain (kept when its entry is removed)")
        elif change.action is Action.ADOPT and change.removal is OnRemoval.DELETE:
            notes.append("on_removal: delete (deleted when its entry is removed)")
        if desired is not None and desired.protect:
            notes.append("protect: true")
    return notes


def _losses(change: Change, paint: Paint) -> list[str]:
    if change.live is None or change.action not in (Action.DELETE, Action.REPLACE):
        return []
    return [paint(f"lost with it: {visible(dependant.text)}", Colour.REMOVED) for dependant in change.live.dependants]


def _word(flag: bool) -> str:
    return "true" if flag else "false"
